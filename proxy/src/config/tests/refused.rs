//! Shows which configurations are refused or warned about, and with which words.

use serde_json::{Value, json};

use super::super::*;
use super::{World, lines, parse_json, parse_text, refused, with};

#[test]
fn all_problems_of_a_file_come_at_once() {
    refused(
        json!({
            "server": { "listen_adress": "127.0.0.1:3130", "via": "two words", "drain_timeout": 30 },
            "authentication": { "enabled": true },
            "upstream_proxies": [
                { "url": "http://127.0.0.1:3025" },
                { "weight": 1 },
                { "url": "http://127.0.0.1:3026", "weight": -1, "wieght": 2 },
                { "url": "http://127.0.0.1:3025", "weight": 1.5 },
                "http://127.0.0.1:3027",
            ],
            "timeouts": { "connect": "5", "reply": "0s", "request": "400d" },
            "health_check": { "endpoints": [7, "nowhere"], "failure_threshold": 0 },
            "xyzzy": 1,
        }),
        &[
            "health_check.endpoints[0]: must be a string (got a number)",
            "health_check.failure_threshold: must be 1 or more (got 0)",
            "server.drain_timeout: must be a time in quotes, such as \"5s\" (got a number)",
            "server.listen_adress: unknown field; did you mean \"listen_address\"?",
            "timeouts.connect: must be a time with a unit, such as \"250ms\", \"5s\", \"15m\" or \"1h\" (got \"5\")",
            "timeouts.reply: must be 1ms or more (got \"0s\")",
            "timeouts.request: must be 1year or less (got \"400d\")",
            "upstream_proxies[1].url: is missing",
            "upstream_proxies[2].weight: must be 0 or more (got -1)",
            "upstream_proxies[2].wieght: unknown field; did you mean \"weight\"?",
            "upstream_proxies[3].weight: must be a whole number from 0 to 10000 (got 1.5)",
            "upstream_proxies[4]: must be an object (got a string)",
            "xyzzy: unknown field; known here: admin, authentication, failover, flight_recorder, health_check, limits, logging, server, stats, \
             timeouts, upstream_proxies, upstream_timeout",
            "server.via: must be \"off\" or one word of letters, digits and \"-\" (got \"two words\")",
            "authentication.users: needs at least one user where authentication is enabled",
            "upstream_proxies[3].url: is the same upstream as upstream_proxies[0] (http://127.0.0.1:3025); \
             give one the sum",
            "health_check.endpoints[1]: must be host:port, or a URL that starts with http:// or https://",
        ],
    );
}

#[test]
fn what_is_not_json_is_placed_by_line_and_column() {
    for (bytes, line) in [
        (&b"{\n  \"server\": {,\n}"[..], "line 2, column 14: not JSON: key must be a string"),
        (b"{\"upstream_proxies\": [", "line 1, column 22: not JSON: EOF while parsing a list"),
        (b"{} {}", "line 1, column 4: not JSON: trailing characters"),
        (b"\xEF\xBB\xBF", "the file is empty; it must hold a JSON object"),
        (b" \n", "the file is empty; it must hold a JSON object"),
        (b"{\n\"a\xFF\": 1}", "line 2, column 3: must be UTF-8 text, but a byte here is not"),
        (b"{\n\0}", "line 2, column 1: must be text, but here stands a NUL byte"),
        (b"[]", "must be an object (got a list)"),
    ] {
        let found = lines(parse("t.json", bytes, &World::default()));
        assert_eq!(found, [format!("t.json: {line}")]);
    }
    let deep = "[".repeat(100_000);
    assert!(lines(parse_text(&deep))[0].contains("recursion limit"));
    let large = vec![b' '; 16 * 1024 * 1024 + 1];
    assert_eq!(lines(parse("t.json", &large, &World::default())), ["t.json: must be 16 MiB or smaller"]);
}

#[test]
fn a_byte_order_mark_is_no_problem_and_doubled_keys_are() {
    let good = format!("\u{FEFF}{}", with(json!({})));
    assert!(parse_text(&good).is_ok());
    let doubled =
        r#"{"upstream_proxies": [{"url": "http://a:1", "weight": 1, "weight": 2}], "stats": {}, "stats": {}}"#;
    assert_eq!(
        lines(parse_text(doubled)),
        ["t.json: upstream_proxies[0].weight: must stand only once", "t.json: stats: must stand only once"]
    );
}

#[test]
fn single_problems_are_said_in_these_words() {
    let table = [
        (
            json!({ "server": { "listen_address": "3130" } }),
            "server.listen_address: must be an address and a port, such as \"127.0.0.1:3130\", \"[::1]:3130\" or \":3130\" (got \"3130\")",
        ),
        (
            json!({ "server": { "listen_address": "proxy.example.com:3130" } }),
            "server.listen_address: must be an address and a port, such as \"127.0.0.1:3130\", \"[::1]:3130\" or \":3130\" (got \"proxy.example.com:3130\")",
        ),
        (
            json!({ "server": { "listen_address": ":3130" } }),
            "server.listen_address: [::]:3130 can be reached from outside, but no authentication is enabled; enable it, listen on 127.0.0.1, or set server.allow_unauthenticated_clients to true",
        ),
        (
            json!({ "server": { "stats_endpoint": "stats" } }),
            "server.stats_endpoint: must be a path that starts with \"/\", such as \"/stats\" (got \"stats\")",
        ),
        (
            json!({ "server": { "stats_endpoint": "/healthz" } }),
            "server.stats_endpoint: /healthz is another page of ours; choose another path",
        ),
        (
            json!({ "server": { "stats_endpoint": "/dashboard" } }),
            "server.stats_endpoint: /dashboard is another page of ours; choose another path",
        ),
        (
            json!({ "server": { "stats_endpoint": "/requests/all" } }),
            "server.stats_endpoint: /requests/all is another page of ours; choose another path",
        ),
        (
            json!({ "admin": { "listen_address": "9100" } }),
            "admin.listen_address: must be an address and a port, such as \"127.0.0.1:3130\", \"[::1]:3130\" or \":3130\" (got \"9100\")",
        ),
        (
            json!({ "admin": { "listen_address": "127.0.0.1:3130" } }),
            "admin.listen_address: has an address of server.listen_address; choose another port",
        ),
        (
            json!({ "server": { "stats_hosts": ["ok.example", "not ok"] } }),
            "server.stats_hosts[1]: the host is not a valid name (letters, digits, hyphens, underscores and dots)",
        ),
        (
            json!({ "logging": { "access_format": "%{client} 100%" } }),
            "logging.access_format: a \"%\" begins a value, such as \"%{status}\"; a percent sign is \"%%\"",
        ),
        (
            json!({ "flight_recorder": { "on_failures": 5 } }),
            "flight_recorder.directory: is missing: it says where records go that are written by themselves",
        ),
        (
            json!({ "flight_recorder": { "on_ejection": true, "directory": "" } }),
            "flight_recorder.directory: must not be empty",
        ),
        (
            json!({ "flight_recorder": { "memory": "8" } }),
            "flight_recorder.memory: must be an amount of bytes with a unit, from \"1MB\" to \"1GB\", such as \"8MB\" or \"16MiB\" (got \"8\")",
        ),
        (
            json!({ "flight_recorder": { "keep": "2days" } }),
            "flight_recorder.keep: must be 1day or less (got \"2days\")",
        ),
        (json!({ "server": { "name": "a\nb" } }), "server.name: must not contain control characters"),
        (
            json!({ "server": { "name": null } }),
            "server.name: must be a string (got null; leave the field out for its default)",
        ),
        (
            json!({ "authentication": { "realm": "a\"b" } }),
            "authentication.realm: must be printable ASCII without '\"' and '\\'",
        ),
        (
            json!({ "authentication": { "users": [{ "username": "a", "password": "x" }, { "username": "a", "password": "y" }] } }),
            "authentication.users[1].username: is the same as authentication.users[0]",
        ),
        (
            json!({ "authentication": { "users": [{ "username": "a:b", "password": "x" }] } }),
            "authentication.users[0].username: must not contain \":\", which ends the name in Basic authentication",
        ),
        (
            json!({ "authentication": { "users": [{ "username": "a", "password": "" }] } }),
            "authentication.users[0].password: must not be empty",
        ),
        (
            json!({ "authentication": { "users": [{ "username": "a", "password": "=19=65536,t=3,p=4+x/y" }] } }),
            "authentication.users[0].password: is what is left of an argon2 hash whose dollar signs were taken for variables; \
             put it into single quotes where it comes from (.env)",
        ),
        (
            json!({ "authentication": { "users": [{ "username": "a", "password": 12345 }] } }),
            "authentication.users[0].password: must be a string (got a number)",
        ),
        (
            json!({ "upstream_proxies": [] }),
            "upstream_proxies: needs at least one upstream that is enabled with a weight above 0",
        ),
        (
            json!({ "upstream_proxies": [{ "url": "http://a:1", "weight": 0 }, { "url": "http://b:1", "enabled": false }] }),
            "upstream_proxies: needs at least one upstream that is enabled with a weight above 0",
        ),
        (
            json!({ "upstream_proxies": [{ "url": "http://a:1", "weight": 10_001 }] }),
            "upstream_proxies[0].weight: must be 10000 or less (got 10001)",
        ),
        (
            json!({ "upstream_proxies": [{ "url": "http://u:p@a:1" }, { "url": "http://u:q@A:1/" }] }),
            "upstream_proxies[1].url: is the same upstream as upstream_proxies[0] (http://a:1); give one the sum",
        ),
        (
            json!({ "upstream_proxies": [{ "url": "http://a:1", "tls": {} }] }),
            "upstream_proxies[0].tls: needs a url that starts with https://",
        ),
        (
            json!({ "upstream_proxies": [{ "url": "https://a:1", "tls": { "ca_file": "no.pem" } }] }),
            "upstream_proxies[0].tls.ca_file: can't read the file \"no.pem\": entity not found",
        ),
        (
            json!({ "upstream_proxies": [{ "url": "https://a:1", "tls": { "server_name": "no good" } }] }),
            "upstream_proxies[0].tls.server_name: a certificate can't carry this name: it must be a DNS name or an IP address",
        ),
        (
            json!({ "upstream_proxies": [{ "url": "http://a:1", "connect_headers": { "Host": "b" } }] }),
            "upstream_proxies[0].connect_headers: Host can't be set: it is the proxy's own",
        ),
        (
            json!({ "upstream_proxies": [{ "url": "http://a:1", "connect_headers": { "X-A": "1", "x-a": "2" } }] }),
            "upstream_proxies[0].connect_headers: x-a stands more than once; capitals make no difference",
        ),
        (
            json!({ "upstream_proxies": [{ "url": "http://a:1", "connect_headers": { "X-A": "1\r\nX-B: 2" } }] }),
            "upstream_proxies[0].connect_headers: the value of X-A must not contain control characters",
        ),
        (json!({ "upstream_timeout": 0 }), "upstream_timeout: must be 1 or more (got 0)"),
        (json!({ "upstream_timeout": "5s" }), "upstream_timeout: must be a whole number (got a string)"),
        (
            json!({ "health_check": { "backoff_base": "10m" } }),
            "health_check.backoff_base: must not be longer than backoff_max, 5m (got 10m)",
        ),
        (json!({ "failover": { "max_attempts": 0 } }), "failover.max_attempts: must be 1 or more (got 0)"),
        (json!({ "limits": { "max_header_bytes": 10 } }), "limits.max_header_bytes: must be 1024 or more (got 10)"),
        (
            json!({ "limits": { "max_connections": 1e300 } }),
            "limits.max_connections: must be a whole number from 1 to 10000000 (got 1e+300)",
        ),
        (json!({ "logging": { "file": "" } }), "logging.file: must not be empty"),
        (json!({ "logging": { "syslog": "" } }), "logging.syslog: must not be empty"),
        (
            json!({ "logging": { "file": "x.log", "syslog": "/dev/log" } }),
            "logging.syslog: the log goes to one place: leave out this or logging.file",
        ),
        (json!({ "logging": { "sample_successes": 0 } }), "logging.sample_successes: must be 1 or more (got 0)"),
        (json!({ "logging": { "format": "xml" } }), "logging.format: must be \"text\" or \"json\" (got \"xml\")"),
        (
            json!({ "logging": { "level": "inof" } }),
            "logging.level: must be off, error, warn, info, debug, trace, or a filter such as \"info,proxy=debug\" (got \"inof\")",
        ),
        (
            json!({ "server": { "name": "${env:NOPE}" } }),
            "server.name: the environment variable NOPE is not set, or not UTF-8",
        ),
        (
            json!({ "server": { "name": "${env:NOPE}${env:NEITHER}${env:NOPE}" } }),
            "server.name: the environment variable NOPE is not set, or not UTF-8; \
             the environment variable NEITHER is not set, or not UTF-8",
        ),
        (
            json!({ "server": { "name": "${file:nope}" } }),
            "server.name: can't read the file \"nope\": entity not found",
        ),
        (
            json!({ "server": { "name": "${HOME}" } }),
            "server.name: \"${…}\" must be \"${env:NAME}\" or \"${file:path}\"; write \"$${\" for the characters themselves",
        ),
        (
            json!({ "server": { "name": "${env:A" } }),
            "server.name: \"${\" has no closing \"}\"; write \"$${\" for the characters themselves",
        ),
        (
            json!({ "we ird\n": 1 }),
            "[\"we ird\\n\"]: unknown field; known here: admin, authentication, failover, flight_recorder, health_check, limits, logging, server, stats, timeouts, upstream_proxies, upstream_timeout",
        ),
    ];
    for (more, line) in table {
        refused(with(more), &[line]);
    }
    assert_eq!(lines(parse_text("{}")), ["t.json: upstream_proxies: is missing"]);
}

#[test]
fn the_weights_must_share_a_schedule_of_bounded_length() {
    // 101 weights that are all different and near the largest: sum 1,004,950, no common divisor.
    let pool = |step: u32| -> Vec<_> {
        (0..101).map(|n| json!({ "url": format!("http://a:{}", n + 1), "weight": 10_000 - step * n })).collect()
    };
    refused(
        json!({ "upstream_proxies": pool(1) }),
        &["upstream_proxies: the weights must sum to 1000000 or less once divided by their greatest common divisor \
           (got 1004950); use rounder weights"],
    );
    assert!(parse_json(&json!({ "upstream_proxies": pool(10) })).is_ok());
}

#[test]
fn a_bad_user_or_upstream_is_not_taken_for_the_one_before_it() {
    refused(
        json!({
            "authentication": { "users": [{ "username": "a", "password": "x" }, { "username": "a", "password": "" }] },
            "upstream_proxies": [{ "url": "http://a:1" }, { "url": "http://a:1/x" }],
        }),
        &[
            "authentication.users[1].password: must not be empty",
            "upstream_proxies[1].url: must end behind host and port; a \"/\", \"?\" or \"#\" in a password is written \
             %2F, %3F or %23",
        ],
    );
}

/// A certificate that signs itself; nothing else knows its key.
const ROOT: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBfzCCASWgAwIBAgIUZ50Q/4eQsCkNUblUPRyt5eqkxPEwCgYIKoZIzj0EAwIw\n\
FDESMBAGA1UEAwwJdGVzdCByb290MCAXDTI2MTEyMjIwMTIwN1oYDzIxMjYxMDI5\n\
MjAxMjA3WjAUMRIwEAYDVQQDDAl0ZXN0IHJvb3QwWTATBgcqhkjOPQIBBggqhkjO\n\
PQMBBwNCAAT2552KlPXVyIEDvnY/IjTkP8qDTLzUmpGy0x5nolSR0GYafoC4Jg7i\n\
5YJcbwvmjJJ3GE2e6Cv6Mcsr2brESLAdo1MwUTAdBgNVHQ4EFgQUBxpNz3o4S4uX\n\
Kyn6yfgwc3QJRHwwHwYDVR0jBBgwFoAUBxpNz3o4S4uXKyn6yfgwc3QJRHwwDwYD\n\
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA2BulDy1pVoLy0JT4e+xK\n\
OHQADzFiNgCJKJ0lZ8/PnBkCICW7Rn+jBVRl9AyQflwj490j5YeTiGHC/0K1gqQw\n\
KR56\n\
-----END CERTIFICATE-----\n";

#[test]
fn a_ca_file_must_hold_certificates() {
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let files = [("empty.pem", String::new()), ("bad.pem", bad.to_owned()), ("root.pem", ROOT.to_owned())];
    let lookup = World { files: files.map(|(name, text)| (name, text.into_bytes())).into(), ..World::default() };
    let read = |file: &str| {
        let config = json!({ "upstream_proxies": [{ "url": "https://a:1", "tls": { "ca_file": file } }] });
        parse("t.json", config.to_string().as_bytes(), &lookup)
    };
    for (file, what) in [("empty.pem", "holds no PEM certificate"), ("bad.pem", "can't be used as a root")] {
        let found = lines(read(file));
        assert!(found.len() == 1 && found[0].contains(what), "{found:?}");
    }
    let good = read("root.pem").unwrap_or_else(|problems| panic!("{problems}"));
    let roots = Some(ROOT.as_bytes().into());
    assert_eq!(good.upstreams[0].transport, Transport::Tls { server_name: "a".into(), roots });
}

#[test]
fn of_many_problems_the_first_hundred_are_shown_and_all_are_counted() {
    let entries: Vec<_> = (0..250).map(|_| json!({})).collect();
    let problems = parse_json(&json!({ "upstream_proxies": entries })).unwrap_err();
    assert_eq!((problems.len(), problems.iter().count()), (250, 100));
    assert!(problems.to_string().ends_with("\nt.json: and 150 more"), "{problems}");
}

#[test]
fn what_runs_but_hardly_as_meant_is_warned_about() {
    let warned = |more: Value, warning: &str| {
        let config = parse_json(&with(more)).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(config.warnings.iter().any(|found| found.starts_with(warning)), "{warning}: {:?}", config.warnings);
    };
    let upstreams: Vec<_> = (1..5).map(|port| json!({ "url": format!("http://a:{port}") })).collect();
    warned(
        json!({ "upstream_proxies": upstreams, "failover": { "max_attempts": 4 } }),
        "timeouts.request: with 4 attempts of up to 40s each (connect 10s and reply 30s), 1m 30s is too short",
    );
    // Three fit: the last one needs to be reached only.
    for fitting in [
        json!({ "upstream_proxies": upstreams }),
        json!({ "upstream_proxies": upstreams[..3] }),
        json!({ "upstream_proxies": upstreams[..3], "failover": { "max_attempts": 10 } }),
    ] {
        assert_eq!(parse_json(&with(fitting)).unwrap().warnings, [""; 0]);
    }
    let hashed = |cost| json!({ "username": format!("u{cost}"), "password": bcrypt::hash("x", cost).unwrap() });
    warned(
        json!({ "authentication": { "enabled": true, "users": [hashed(4), hashed(5)] } }),
        "authentication.users: the password hashes are of 2 kinds (bcrypt cost 04; bcrypt cost 05)",
    );
    warned(json!({ "stats": { "require_auth": true } }), "stats.require_auth: without authentication nobody");
    warned(json!({ "upstream_proxies": [{ "url": "https://a" }] }), "upstream_proxies[0].url: no port given, so 443");
    warned(json!({ "health_check": { "enabled": true } }), "health_check.endpoints: none given");
    warned(
        json!({ "health_check": { "enabled": true, "endpoints": ["a:1"], "interval_seconds": 5 } }),
        "health_check.timeout_seconds: 10s is longer than the 5s",
    );
    let sample = json!({ "enabled": true, "users": [{ "username": "u", "password": "Proxy234" }] });
    warned(
        json!({ "server": { "listen_address": ":1" }, "authentication": sample }),
        "authentication.users[0].password: u has the password of the published sample",
    );
    warned(
        json!({ "authentication": { "users": [{ "username": "u", "password": "p" }] } }),
        "authentication: users are given, but enabled is false",
    );
    warned(
        json!({ "upstream_proxies": [{ "url": "http://localhost:3130" }], "server": { "listen_address": ":3130", "allow_unauthenticated_clients": true } }),
        "upstream_proxies[0].url: is this proxy's own listen_address",
    );
}
