//! Shows which configurations are accepted, and what they mean.

mod properties;
mod refused;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

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
    assert_eq!(config.health.timeout, Duration::from_secs(10));
    assert!(active.rotate);
    let endpoints: Vec<_> = active.endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(endpoints, ["api.ipify.org:443", "httpbin.org:443"]);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn every_default_is_the_documented_one() {
    let config = parse_json(&with(json!({}))).unwrap();
    let secs = Duration::from_secs;
    assert_eq!(config.server.listen, SocketAddr::from(([127, 0, 0, 1], 3130)));
    assert_eq!((config.server.pid_file, config.server.via), (ProcessFile::Default, Via::Random));
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
        pool_idle_unrepeatable: secs(0),
        dns: secs(30),
    };
    assert_eq!(config.timeouts, timeouts);
    assert_eq!(config.failover.max_attempts.get(), 3);
    let policy = config.health.policy;
    assert_eq!((policy.failure_threshold.get(), policy.recovery_threshold.get()), (3, 1));
    assert_eq!((policy.backoff_base, policy.backoff_max), (secs(5), secs(300)));
    assert_eq!(config.health.active, None);
    let limits = Limits {
        max_header_bytes: 16384,
        max_header_fields: 100,
        max_connections: None,
        pool_per_upstream: 256,
        remembered_requests: 256,
    };
    assert_eq!(config.limits, limits);
    assert_eq!(
        config.logging,
        Logging {
            format: LogFormat::Text,
            level: "info".into(),
            to: LogTo::Stderr,
            sample_successes: NonZeroU64::MIN,
            access_format: None,
        }
    );
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
    let lookup = World { env: env.map(|(name, value)| (name, value.to_owned())).into(), ..World::default() };
    for name in ["us.json", "docker.json", "minimal.json", "production.json"] {
        let bytes = std::fs::read(shipped(name)).unwrap();
        let config = parse(name, &bytes, &lookup).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(config.warnings, [""; 0], "{name}");
    }
    let us = load(&shipped("us.json")).outcome.unwrap();
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
    let secret = fields.iter().filter(|(_, schema)| schema["writeOnly"] == true);
    let secret: Vec<_> = secret.map(|(path, _)| path.as_str()).collect();
    assert_eq!(secret, ["authentication.users[].password", "upstream_proxies[].url"]);
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
    let lookup = World {
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
    let parsed = parse("t.json", config.to_string().as_bytes(), &lookup).unwrap();
    assert_eq!(parsed.server.name, "${env:USER_PART} costs $5 me%40home");
    let upstream = &parsed.upstreams[0];
    let credentials = upstream.credentials.as_ref().unwrap();
    assert_eq!((credentials.username.as_str(), credentials.password.expose()), ("me@home", "s3cret"));
    assert_eq!(upstream.connect_headers, [("X-Key".to_owned(), Secret::new("line"))]);

    let config = with(json!({ "server": { "name": "${file:bin}" } }));
    let found = lines(parse("t.json", config.to_string().as_bytes(), &lookup));
    assert_eq!(found, ["t.json: server.name: the file \"bin\" is not UTF-8 text"]);
}

#[test]
fn tls_is_verified_by_the_host_unless_another_name_is_given() {
    let transport = |upstream: Value| {
        let config = parse_json(&json!({ "upstream_proxies": [upstream] }));
        config.unwrap_or_else(|problems| panic!("{problems}")).upstreams[0].transport.clone()
    };
    let named = |name: &str| Transport::Tls { server_name: name.into(), roots: None };
    assert_eq!(transport(json!({ "url": "https://Proxy.example:1" })), named("proxy.example"));
    assert_eq!(transport(json!({ "url": "https://[::1]:1" })), named("::1"));
    assert_eq!(
        transport(json!({ "url": "https://192.0.2.1:1", "tls": { "server_name": "exit.example" } })),
        named("exit.example")
    );
}

#[test]
fn no_two_upstreams_are_called_the_same() {
    let names = |upstreams: Value| -> Vec<String> {
        let config =
            parse_json(&json!({ "upstream_proxies": upstreams })).unwrap_or_else(|problems| panic!("{problems}"));
        config.upstreams.iter().map(|upstream| upstream.name.clone()).collect()
    };
    let (one, two) = ("http://one:1", "http://two:1");
    assert_eq!(names(json!([{ "url": one, "tag": "us" }, { "url": two }])), ["us", two]);
    assert_eq!(names(json!([{ "url": one, "tag": "us" }, { "url": two, "tag": "us" }])), [one, two]);
    assert_eq!(names(json!([{ "url": one, "tag": "" }, { "url": two, "tag": " " }])), [one, two]);
    // One tag of its own is enough to tell two apart.
    let same = |a: Value, b: Value| names(json!([a, b]));
    let (anna, bert) = ("http://anna:HUNTER2@one:1", "http://b%40x:HUNTER2@one:1");
    assert_eq!(same(json!({ "url": anna }), json!({ "url": bert })), ["http://anna@one:1", "http://b%40x@one:1"]);
    assert_eq!(same(json!({ "url": anna }), json!({ "url": one })), ["http://anna@one:1", one]);
    assert_eq!(same(json!({ "url": anna, "tag": "a" }), json!({ "url": bert, "tag": "b" })), ["a", "b"]);
    // A tag that looks like another's URL.
    assert_eq!(same(json!({ "url": one, "tag": two }), json!({ "url": two })), [one, two]);
}

#[test]
fn times_may_be_nothing_where_that_means_something() {
    let zero = json!({
        "server": { "drain_delay": "0s", "drain_timeout": "0s" },
        "timeouts": { "pool_idle_unrepeatable": "0s" },
    });
    assert_eq!(parse_json(&with(zero)).unwrap().server.drain_timeout, Duration::ZERO);
    refused(with(json!({ "timeouts": { "body": "0s" } })), &["timeouts.body: must be 1ms or more (got \"0s\")"]);
}

#[test]
fn timeouts_of_their_own_beat_upstream_timeout() {
    let config = parse_json(&with(json!({ "upstream_timeout": 5, "timeouts": { "reply": "7s" } }))).unwrap();
    assert_eq!((config.timeouts.connect, config.timeouts.reply), (Duration::from_secs(5), Duration::from_secs(7)));
}

#[test]
fn files_are_found_beside_the_configuration() {
    let system = System::beside(&shipped("us.json"));
    assert_eq!(system.file("minimal.json").unwrap(), std::fs::read(shipped("minimal.json")).unwrap());
    assert_eq!(system.resolve("minimal.json"), shipped("minimal.json"));
    assert_eq!(system.resolve("/etc/secret"), Path::new("/etc/secret"));
    let found = lines(load(Path::new("no/such.json")).outcome);
    assert!(found.len() == 1 && found[0].starts_with("no/such.json: can't read the file: "), "{found:?}");
}

#[test]
fn the_own_pages_have_an_address_that_clients_do_not_connect_to() {
    for (clients, pages, good) in [
        ("127.0.0.1:3130", "127.0.0.1:3131", true),
        ("127.0.0.1:0", "127.0.0.1:0", true),
        ("127.0.0.1:3130", "127.0.0.2:3130", true),
        ("127.0.0.1:3130", "[::1]:3130", true),
        ("[::1]:3130", "0.0.0.0:3130", true),
        ("127.0.0.1:3130", "0.0.0.0:3130", false),
        ("127.0.0.1:3130", ":3130", false),
        ("127.0.0.1:3130", "[::ffff:127.0.0.1]:3130", false),
        ("[::1]:3130", ":3130", false),
        ("0.0.0.0:3130", "127.0.0.1:3130", false),
        ("0.0.0.0:3130", ":3130", false),
    ] {
        let config = json!({
            "server": { "listen_address": clients, "allow_unauthenticated_clients": true },
            "admin": { "listen_address": pages },
        });
        assert_eq!(parse_json(&with(config)).is_ok(), good, "{clients} {pages}");
    }
}
