//! Whole configurations: what loads, what is refused and in which words, and that no secret gets out.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// An environment and files that exist only here.
#[derive(Default)]
pub(super) struct World {
    pub(super) env: BTreeMap<&'static str, String>,
    pub(super) files: BTreeMap<&'static str, Vec<u8>>,
}

impl Lookup for World {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, path: &str) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn parse_text(text: &str) -> Result<Config, Problems> {
    parse("t.json", text.as_bytes(), &World::default())
}

pub(super) fn parse_json(value: &Value) -> Result<Config, Problems> {
    parse_text(&value.to_string())
}

/// A configuration with one upstream and `more` fields.
fn with(more: Value) -> Value {
    let mut config = json!({ "upstream_proxies": [{ "url": "http://127.0.0.1:3025" }] });
    let fields = config.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    config
}

fn lines(result: Result<Config, Problems>) -> Vec<String> {
    let problems = result.expect_err("must be refused");
    problems.to_string().lines().map(str::to_owned).collect()
}

#[track_caller]
fn refused(config: Value, expected: &[&str]) {
    let found = lines(parse_json(&config));
    let expected: Vec<String> = expected.iter().map(|line| format!("t.json: {line}")).collect();
    assert_eq!(found, expected, "{config}");
}

fn shipped(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(name)
}

#[test]
fn the_first_sample_loads_unchanged() {
    let config = parse_text(
        r#"{
  "server": { "name": "US Proxy Pool", "listen_address": "127.0.0.1:3130", "stats_endpoint": "/stats" },
  "authentication": { "enabled": true, "users": [ { "username": "proxyuser", "password": "Proxy234" } ] },
  "upstream_proxies": [
    { "url": "http://127.0.0.1:3025", "enabled": true, "weight": 3 },
    { "url": "http://user:pass@proxy.example.com:8080", "enabled": true, "weight": 2 },
    { "url": "http://127.0.0.1:3026", "enabled": true, "weight": 1 }
  ]
}"#,
    )
    .unwrap();
    assert_eq!(config.server.name, "US Proxy Pool");
    assert_eq!(config.server.listen, SocketAddr::from(([127, 0, 0, 1], 3130)));
    let shares: Vec<_> = config.upstreams.iter().map(|u| (u.url.as_str(), u.weight.get())).collect();
    assert_eq!(
        shares,
        [("http://127.0.0.1:3025", 3), ("http://proxy.example.com:8080", 2), ("http://127.0.0.1:3026", 1)]
    );
    let credentials = config.upstreams[1].credentials.as_ref().unwrap();
    assert_eq!((credentials.username.as_str(), credentials.password.expose()), ("user", "pass"));
    let Authentication::Basic { users, .. } = &config.authentication else { panic!("{:?}", config.authentication) };
    assert_eq!(users, &[User { name: "proxyuser".into(), password: Password::Plain(Secret::new("Proxy234")) }]);
}

#[test]
fn the_later_shape_loads_unchanged() {
    let config = parse_text(
        r#"{"server":{"name":"US Proxy Pool","listen_address":"127.0.0.1:3130","stats_endpoint":"/stats"},"authentication":{"enabled":true,"users":[{"username":"proxyuser","password":"Proxy234"}]},"upstream_proxies":[{"url":"http://127.0.0.1:3025","enabled":true,"weight":1,"note":"Primary test proxy server","tag":"us"},{"url":"http://127.0.0.1:3026","enabled":true,"weight":1}],"upstream_timeout":5,"health_check":{"enabled":true,"interval_seconds":300,"timeout_seconds":10,"failure_threshold":3,"recovery_threshold":1,"endpoints":["https://api.ipify.org?format=json","https://httpbin.org/ip"],"endpoint_rotation":true}}"#,
    )
    .unwrap();
    assert_eq!(config.upstreams[0].tag.as_deref(), Some("us"));
    assert_eq!(config.upstreams[0].note.as_deref(), Some("Primary test proxy server"));
    assert_eq!(config.timeouts.connect, Duration::from_secs(5));
    assert_eq!(config.timeouts.reply, Duration::from_secs(5));
    let active = config.health.active.unwrap();
    assert_eq!(active.interval, Duration::from_secs(300));
    assert_eq!(active.timeout, Duration::from_secs(10));
    assert!(active.rotate);
    let places: Vec<_> = active.endpoints.iter().map(|e| (e.host.as_str(), e.port)).collect();
    assert_eq!(places, [("api.ipify.org", 443), ("httpbin.org", 443)]);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn every_default_is_the_documented_one() {
    let config = parse_json(&with(json!({}))).unwrap();
    let secs = Duration::from_secs;
    assert_eq!(config.server.listen, SocketAddr::from(([127, 0, 0, 1], 3130)));
    assert_eq!((config.server.pid_file, config.server.via), (PidFile::Default, Via::Random));
    assert_eq!((config.server.drain_delay, config.server.drain_timeout), (secs(0), secs(30)));
    assert_eq!(config.authentication, Authentication::Off);
    let upstream = &config.upstreams[0];
    assert_eq!((upstream.enabled, upstream.weight.get(), &upstream.transport), (true, 1, &Transport::Plain));
    let timeouts = Timeouts {
        connect: secs(10),
        reply: secs(30),
        request: secs(90),
        header: secs(10),
        keep_alive: secs(60),
        body: secs(60),
        idle_tunnel: secs(3600),
        half_closed: secs(60),
        pool_idle: secs(30),
        dns: secs(30),
    };
    assert_eq!(config.timeouts, timeouts);
    assert_eq!(config.failover.max_attempts, None);
    let policy = config.health.policy;
    assert_eq!((policy.failure_threshold.get(), policy.recovery_threshold.get()), (3, 1));
    assert_eq!((policy.backoff_base, policy.backoff_max), (secs(5), secs(300)));
    assert_eq!(config.health.active, None);
    let limits =
        Limits { max_header_bytes: 16384, max_header_fields: 100, max_connections: None, pool_per_upstream: 32 };
    assert_eq!(config.limits, limits);
    assert_eq!(config.logging, Logging { format: LogFormat::Text, level: "info".into() });
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn every_shipped_file_parses_without_a_doubt() {
    let hash = hash_password("a long password").unwrap();
    let env = [
        ("PROXY_PASSWORD", "a long password"),
        ("PROXY_PASSWORD_HASH", hash.as_str()),
        ("UPSTREAM_USERNAME", "me"),
        ("UPSTREAM_PASSWORD", "mine"),
        ("UPSTREAM_A", "a.example.com:3128"),
        ("UPSTREAM_B", "b.example.com:3128"),
    ];
    let world = World { env: env.map(|(name, value)| (name, value.to_owned())).into(), ..World::default() };
    for name in ["us.json", "docker.json", "minimal.json", "production.json"] {
        let bytes = std::fs::read(shipped(name)).unwrap();
        let config = parse(name, &bytes, &world).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(config.warnings, [""; 0], "{name}");
    }
    let us = load(&shipped("us.json")).unwrap();
    assert_eq!(us.upstreams.iter().map(|u| u.port).collect::<Vec<_>>(), [3025, 3026]);
}

/// Every field of the schema by its path (`upstream_proxies[].url`), with its own schema.
fn fields() -> Vec<(String, Value)> {
    fn collect(schema: &Value, at: &str, into: &mut Vec<(String, Value)>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            into.push((path.clone(), field.clone()));
            collect(field, &path, into);
            collect(&field["items"], &format!("{path}[]"), into);
        }
    }
    let mut fields = Vec::new();
    collect(schema().as_value(), "", &mut fields);
    fields
}

#[test]
fn the_reference_has_every_field_of_the_schema_and_its_default() {
    let reference = std::fs::read_to_string(shipped("README.md")).unwrap();
    let fields = fields();
    assert!(fields.len() > 50, "{fields:?}");
    for (path, schema) in &fields {
        let row = reference.lines().find(|line| line.starts_with(&format!("| `{path}` |")));
        let row = row.unwrap_or_else(|| panic!("configs/README.md has no row for {path}"));
        let default = &schema["default"];
        let shown = format!("| `{default}` |");
        assert!(default.is_null() || default.is_object() || row.contains(&shown), "{row} should have {shown}");
    }
    let rows: Vec<_> = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let known = |row: &&str| fields.iter().any(|(path, _)| path == row);
    let unknown: Vec<_> =
        rows.iter().filter(|row| !row.contains("json") && !row.starts_with('$')).filter(|row| !known(row)).collect();
    assert!(unknown.is_empty(), "configs/README.md has rows for no field: {unknown:?}");
}

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
            "xyzzy: unknown field; known here: authentication, failover, health_check, limits, logging, server, stats, \
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
        (b"\xEF\xBB\xBF", "the file is empty; it needs at least \"upstream_proxies\""),
        (b" \n", "the file is empty; it needs at least \"upstream_proxies\""),
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
            "server.stats_endpoint: /healthz answers health probes; choose another path",
        ),
        (
            json!({ "server": { "stats_hosts": ["ok.example", "not ok"] } }),
            "server.stats_hosts[1]: the host must be a DNS name, an IPv4 address, or an IPv6 address in brackets",
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
            "upstream_proxies[0].tls.server_name: must be a DNS name or an IP address",
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
            "[\"we ird\\n\"]: unknown field; known here: authentication, failover, health_check, limits, logging, server, stats, timeouts, upstream_proxies, upstream_timeout",
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
fn listening_to_the_outside_needs_authentication_or_words() {
    for address in ["0.0.0.0:1", ":1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
        let server = json!({ "listen_address": address });
        assert!(parse_json(&with(json!({ "server": server }))).is_err(), "{address}");
        let words = json!({ "listen_address": address, "allow_unauthenticated_clients": true });
        assert!(parse_json(&with(json!({ "server": words }))).is_ok(), "{address}");
        let users = json!({ "enabled": true, "users": [{ "username": "a", "password": "b" }] });
        assert!(parse_json(&with(json!({ "server": server, "authentication": users }))).is_ok(), "{address}");
    }
    for address in ["127.0.0.2:1", "[::1]:1", "localhost:1", "[::ffff:127.0.0.1]:1"] {
        assert!(parse_json(&with(json!({ "server": { "listen_address": address } }))).is_ok(), "{address}");
    }
    let any = parse_json(&with(json!({ "server": { "listen_address": ":7", "allow_unauthenticated_clients": true } })));
    assert_eq!(any.unwrap().server.listen, "[::]:7".parse().unwrap());
}

#[test]
fn values_come_from_the_environment_and_from_files() {
    let world = World {
        env: [("USER_PART", "me%40home".to_owned())].into(),
        files: [("secrets/upstream", b"s3cret\n".to_vec()), ("crlf", b"line\r\n".to_vec()), ("bin", vec![0xFF])].into(),
    };
    let config = with(json!({
        "server": { "name": "$${env:USER_PART} costs $5 ${env:USER_PART}" },
        "upstream_proxies": [{
            "url": "http://${env:USER_PART}:${file:secrets/upstream}@a:1",
            "connect_headers": { "X-Key": "${file:crlf}" },
        }],
    }));
    let parsed = parse("t.json", config.to_string().as_bytes(), &world).unwrap();
    assert_eq!(parsed.server.name, "${env:USER_PART} costs $5 me%40home");
    let upstream = &parsed.upstreams[0];
    let credentials = upstream.credentials.as_ref().unwrap();
    assert_eq!((credentials.username.as_str(), credentials.password.expose()), ("me@home", "s3cret"));
    assert_eq!(upstream.connect_headers, [("X-Key".to_owned(), Secret::new("line"))]);
    assert_eq!(parsed.sources, [Path::new("crlf"), Path::new("secrets/upstream")]);

    let config = with(json!({ "server": { "name": "${file:bin}" } }));
    let found = lines(parse("t.json", config.to_string().as_bytes(), &world));
    assert_eq!(found, ["t.json: server.name: the file \"bin\" is not UTF-8 text"]);
}

#[test]
fn a_ca_file_must_hold_certificates() {
    let world = World {
        files: [
            ("empty.pem", Vec::new()),
            ("bad.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec()),
        ]
        .into(),
        ..World::default()
    };
    for (file, what) in [("empty.pem", "holds no PEM certificate"), ("bad.pem", "can't be used as a root")] {
        let config = json!({ "upstream_proxies": [{ "url": "https://a:1", "tls": { "ca_file": file } }] });
        let found = lines(parse("t.json", config.to_string().as_bytes(), &world));
        assert!(found.len() == 1 && found[0].contains(what), "{found:?}");
    }
}

#[test]
fn what_runs_but_hardly_as_meant_is_warned_about() {
    let warned = |more: Value, warning: &str| {
        let config = parse_json(&with(more)).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(config.warnings.iter().any(|found| found.starts_with(warning)), "{warning}: {:?}", config.warnings);
    };
    let three: Vec<_> = (1..4).map(|port| json!({ "url": format!("http://a:{port}") })).collect();
    warned(
        json!({ "upstream_proxies": three }),
        "timeouts.request: 3 attempts of up to 40s each (connect 10s and reply 30s) don't fit into 1m 30s",
    );
    let two = parse_json(&with(json!({ "upstream_proxies": three, "failover": { "max_attempts": 2 } }))).unwrap();
    assert_eq!(two.warnings, [""; 0]);
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

/// JSON of any shape, with the names and values that matter made likely.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "(http|https)://[a-z0-9:@%/.\\[\\]]{0,20}".prop_map(Value::from),
        "\\$?\\$\\{(env|file)?:?[A-Za-z]{0,4}\\}?".prop_map(Value::from),
        "[0-9]{0,22}(ms|s|m|h|y)?".prop_map(Value::from),
    ];
    let name = prop_oneof![
        proptest::sample::select(fields()).prop_map(|(path, _)| path.rsplit('.').next().unwrap_or_default().to_owned()),
        "\\PC{0,6}",
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A configuration that is valid but for at most one value anywhere in it, replaced by `broken`.
fn with_one_broken(mut config: Value, at: usize, broken: Value) -> Value {
    fn leaves<'a>(value: &'a mut Value, into: &mut Vec<&'a mut Value>) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| leaves(item, into)),
            Value::Object(fields) => fields.values_mut().for_each(|field| leaves(field, into)),
            leaf => into.push(leaf),
        }
    }
    let mut all = Vec::new();
    leaves(&mut config, &mut all);
    let at = at % all.len();
    *all[at] = broken;
    config
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        match parse_json(&value) {
            Ok(config) => prop_assert!(!config.upstreams.is_empty()),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse("t.json", &bytes, &World::default()).is_err());
    }

    #[test]
    fn no_secret_gets_out(
        marks in "[#%/@:$ {}\\\\\"a-z0-9]{0,3}",
        at in any::<usize>(),
        broken in any_json(),
        breaks in any::<bool>(),
        misplaced in any::<bool>(),
        from_env in any::<bool>(),
    ) {
        let secret = format!("HUNTER2{marks}");
        let secret_value = if from_env { "${env:S}".to_owned() } else { secret.clone() };
        let mut config = json!({
            "server": { "name": "n", "listen_address": "127.0.0.1:1" },
            "authentication": { "enabled": true, "users": [
                { "username": "u", "password": secret_value },
                { "username": "v", "password": format!("$2b$12${secret_value}") },
            ] },
            "upstream_proxies": [{
                "url": format!("http://u:{secret_value}@a:1"),
                "connect_headers": { "X-Key": secret_value },
            }],
        });
        if misplaced {
            config["authentication"]["users"] = json!(format!("u:{secret_value}"));
        }
        if breaks {
            config = with_one_broken(config, at, broken);
        }
        let world = World { env: [("S", secret)].into(), ..World::default() };
        let printed = match parse("t.json", config.to_string().as_bytes(), &world) {
            Ok(config) => format!("{config:?}"),
            Err(problems) => format!("{problems}{problems:?}"),
        };
        prop_assert!(!printed.contains("HUNTER2"), "{}", printed);
    }
}
