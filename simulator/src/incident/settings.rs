//! What a recording shows of the proxy's configuration: numbers, switches and times of fields that are listed here, and nothing else.
//!
//! Names, users and addresses are replaced; passwords, headers, files, certificates, remarks and everything that is not listed are left
//! out. So nothing that this version does not know can get through.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::key::{Key, NameOf};
use crate::scenario::UPSTREAM_PORT;

/// Fields that are shown, by their section. "" is the file itself.
const SHOWN: &[(&str, &[&str])] = &[
    ("", &["upstream_timeout"]),
    ("server", &["drain_delay", "drain_timeout"]),
    ("authentication", &["enabled", "close_after_refusal"]),
    (
        "health_check",
        &[
            "enabled",
            "interval_seconds",
            "timeout_seconds",
            "failure_threshold",
            "recovery_threshold",
            "endpoint_rotation",
            "backoff_base",
            "backoff_max",
            "max_ejection_percent",
        ],
    ),
    (
        "timeouts",
        &[
            "connect",
            "reply",
            "request",
            "header",
            "keep_alive",
            "body",
            "idle_tunnel",
            "half_closed",
            "pool_idle",
            "pool_idle_unrepeatable",
            "dns",
        ],
    ),
    ("failover", &["max_attempts", "retry_budget_percent", "retry_budget_min_per_second"]),
    (
        "limits",
        &["max_header_bytes", "max_header_fields", "max_connections", "pool_per_upstream", "remembered_requests"],
    ),
];

/// The same of an upstream.
const SHOWN_OF_UPSTREAM: &[&str] = &["enabled", "weight"];
const SHOWN_OF_WARM: &[&str] = &["max", "max_age"];

/// What every replaced password is.
pub(in crate::incident) const PASSWORD: &str = "replaced";
/// A user whom no log names. Its requests come with a wrong password.
pub(in crate::incident) const NOBODY: &str = "nobody";
/// The target of checks in a replay.
const ENDPOINT: &str = "echo.mock:80";

/// An upstream of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::incident) struct Known {
    /// What it is called in the recording.
    pub host: String,
    /// How logs write its address; hashed, so that it can be compared and not read.
    pub url: String,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// A configuration as it may be shown.
#[derive(Clone, Debug)]
pub(in crate::incident) struct Settings {
    /// In the proxy's format, with names replaced.
    pub proxy: Json,
    /// Its upstreams, in order.
    pub upstreams: Vec<Known>,
    /// Users of the proxy by their replaced names; `None` where it asks nobody.
    pub users: Option<BTreeSet<String>>,
    /// What could not be carried over, a sentence each.
    pub left_out: Vec<String>,
}

/// Whether a value is a number, a switch or a length of time.
fn is_plain(value: &Json) -> bool {
    match value {
        Json::Bool(_) | Json::Number(_) => true,
        Json::String(text) => is_span(text),
        _ => false,
    }
}

fn is_span(text: &str) -> bool {
    text.len() <= 40
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
        && humantime::parse_duration(text).is_ok()
}

/// Whether `field` of `section` is one of those that are shown.
pub(in crate::incident) fn is_shown(section: &str, field: &str) -> bool {
    SHOWN.iter().any(|(name, fields)| *name == section && fields.contains(&field))
}

impl Settings {
    /// What may be shown of the configuration file with this text.
    ///
    /// # Errors
    /// It is no JSON object. What is in it is not told.
    pub(in crate::incident) fn read(text: &[u8], key: &Key) -> Result<Self, String> {
        let json: Json = serde_json::from_slice(text)
            .map_err(|error| format!("not JSON (line {}, column {})", error.line(), error.column()))?;
        let object = json.as_object().ok_or("must be an object")?;
        let mut left_out = Vec::new();
        let mut proxy = Map::new();
        for (section, fields) in SHOWN {
            let found = if section.is_empty() { Some(object) } else { object.get(*section).and_then(Json::as_object) };
            let Some(found) = found else { continue };
            let shown = shown(found, fields, section, &mut left_out);
            match section.is_empty() {
                true => proxy.extend(shown),
                false if shown.is_empty() => {}
                false => drop(proxy.insert((*section).to_owned(), shown.into())),
            }
        }
        if json["health_check"]["endpoints"].as_array().is_some_and(|endpoints| !endpoints.is_empty()) {
            proxy.entry("health_check").or_insert_with(|| json!({}))["endpoints"] = json!([ENDPOINT]);
            left_out.push("the endpoints of checks: the replay checks a target that always works".to_owned());
        }
        let upstreams = upstreams(object, key, &mut proxy, &mut left_out);
        let asks = json["authentication"]["enabled"] == json!(true);
        let users = asks.then(|| {
            let listed = json["authentication"]["users"].as_array().into_iter().flatten();
            listed.filter_map(|user| user["username"].as_str()).map(|name| key.name(NameOf::User, name)).collect()
        });
        Ok(Settings { proxy: proxy.into(), upstreams, users, left_out })
    }
}

fn shown(object: &Map<String, Json>, fields: &[&str], place: &str, left_out: &mut Vec<String>) -> Map<String, Json> {
    let mut shown = Map::new();
    for field in fields {
        match object.get(*field) {
            Some(value) if is_plain(value) => drop(shown.insert((*field).to_owned(), value.clone())),
            Some(Json::Null) | None => {}
            Some(_) => left_out.push(format!("{place}.{field}, which is no number, switch or time in the file")),
        }
    }
    shown
}

/// Puts the upstreams into `proxy`, and tells what they are called.
fn upstreams(
    object: &Map<String, Json>,
    key: &Key,
    proxy: &mut Map<String, Json>,
    left_out: &mut Vec<String>,
) -> Vec<Known> {
    let listed = object.get("upstream_proxies").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let mut entries = Vec::new();
    let mut known: Vec<Known> = Vec::new();
    for (place, entry) in listed.iter().enumerate() {
        let Some(fields) = entry.as_object() else { continue };
        let url = fields.get("url").and_then(Json::as_str).unwrap_or_default();
        let address = Address::read(url);
        let logged = address.as_ref().map_or_else(|| format!("entry {place}"), Address::logged);
        // Two that differ by their user alone have the same address in logs.
        let user = address.as_ref().map_or("", |address| &address.user);
        let mut host = key.name(NameOf::Upstream, &format!("{user}@{logged}"));
        if known.iter().any(|one| one.host == host) {
            host = key.name(NameOf::Upstream, &format!("{user}@{logged} {place}"));
        }
        let tls = url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        let mut shown = shown(fields, SHOWN_OF_UPSTREAM, "upstream_proxies", left_out);
        let scheme = if tls { "https" } else { "http" };
        shown.insert("url".to_owned(), format!("{scheme}://{host}:{UPSTREAM_PORT}").into());
        if let Some(tag) = fields.get("tag").and_then(Json::as_str) {
            shown.insert("tag".to_owned(), key.name(NameOf::Tag, tag).into());
        }
        if let Some(warm) = fields.get("warm_connections").and_then(Json::as_object) {
            let warm = self::shown(warm, SHOWN_OF_WARM, "warm_connections", left_out);
            shown.insert("warm_connections".to_owned(), warm.into());
        }
        entries.push(shown.into());
        known.push(Known { host, url: key.name(NameOf::Upstream, &logged), tls });
    }
    proxy.insert("upstream_proxies".to_owned(), Json::Array(entries));
    known
}

/// The address in an upstream's URL.
struct Address {
    scheme: String,
    user: String,
    host: String,
    port: String,
}

impl Address {
    fn read(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let place = rest.split(['/', '?', '#']).next()?;
        let (credentials, place) = place.rsplit_once('@').unwrap_or(("", place));
        let default = if scheme == "https" { "443" } else { "80" };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (place, default),
        };
        let user = credentials.split(':').next().unwrap_or_default().to_owned();
        Some(Address { scheme, user, host: host.to_ascii_lowercase(), port: port.to_owned() })
    }

    /// As the proxy's log writes it, but with the port in any case.
    fn logged(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// The hash by which an address in a log is compared with those of the configuration.
pub(in crate::incident) fn hashed_url(url: &str, key: &Key) -> String {
    key.name(NameOf::Upstream, &Address::read(url).map_or_else(|| url.to_owned(), |address| address.logged()))
}

/// The users of a configuration, as it lists them.
pub(in crate::incident) fn list_users(proxy: &mut Json, users: &BTreeSet<String>) {
    let listed: Vec<Json> = users.iter().map(|user| json!({ "username": user, "password": PASSWORD })).collect();
    proxy["authentication"]["users"] = listed.into();
}

/// What was changed of an upstream or a field, by a line of a reload.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::incident) enum Change {
    /// A field of a section has another value.
    Field(String, String, Json),
    /// An upstream has other fields; `None`: it was removed.
    Upstream(String, Option<BTreeMap<&'static str, Json>>),
}

/// Reads what a reload's line says, such as `timeouts.connect: 10s → 5s` or `upstream http://a:1 weight 1 → 2`. `None` where it says what
/// can't be replayed.
pub(in crate::incident) fn change(line: &str, key: &Key) -> Option<Change> {
    if let Some(rest) = line.strip_prefix("upstream ") {
        let (url, what) = rest.split_once(' ')?;
        if what.starts_with("as ") {
            return None;
        }
        let weight = |text: &str| text.parse::<u32>().ok().map(Json::from);
        let fields = |pairs: &[(&'static str, Json)]| Some(pairs.iter().cloned().collect());
        let change = match what {
            "removed" => None,
            "disabled" => fields(&[("enabled", false.into())]),
            _ => {
                let added = what.strip_prefix("added, weight ").or_else(|| what.strip_prefix("enabled, weight "));
                let changed = what.strip_prefix("weight ").and_then(|pair| pair.split_once(" → ")).map(|(_, new)| new);
                fields(&[("enabled", true.into()), ("weight", weight(added.or(changed)?)?)])
            }
        };
        return Some(Change::Upstream(hashed_url(url, key), change));
    }
    let (name, values) = line.split_once(": ")?;
    let (section, field) = name.split_once('.')?;
    let (_, new) = values.rsplit_once(" → ")?;
    let value = match new {
        "true" => Json::from(true),
        "false" => Json::from(false),
        _ => new.parse::<u64>().map(Json::from).ok().or_else(|| debug_span(new).map(Json::from))?,
    };
    is_shown(section, field).then(|| Change::Field(section.to_owned(), field.to_owned(), value))
}

/// A length of time as `Debug` writes it: "1.5s", "250ms".
fn debug_span(text: &str) -> Option<String> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..unit].parse().ok()?;
    let seconds = match &text[unit..] {
        "s" => number,
        "ms" => number / 1e3,
        "µs" => number / 1e6,
        "ns" => number / 1e9,
        _ => return None,
    };
    let span = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    Some(humantime::format_duration(span).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new(b"0123456789abcdef").unwrap()
    }

    #[test]
    fn nothing_gets_through_but_what_is_listed() {
        let text = r#"{ "server": {"name": "S3CRET", "drain_timeout": "9s", "via": "S3CRET"}, "S3CRET": "S3CRET",
            "authentication": {"enabled": true, "realm": "S3CRET", "users": [{"username": "S3CRET", "password": "S3CRET"}]},
            "timeouts": {"connect": "S3CRET", "reply": "4s", "S3CRET": 1},
            "health_check": {"failure_threshold": "${env:S3CRET}", "endpoints": ["S3CRET:1"]},
            "upstream_proxies": [{"url": "https://S3CRET:S3CRET@S3CRET.example:1", "tag": "S3CRET", "note": "S3CRET", "weight": 3,
                "connect_headers": {"S3CRET": "S3CRET"}, "tls": {"ca_file": "S3CRET", "server_name": "S3CRET"},
                "warm_connections": {"max": 2, "max_age": "S3CRET"}},
                {"url": "${env:S3CRET}"}],
            "stats": {"S3CRET": 1}, "logging": {"file": "S3CRET"}, "admin": {"listen_address": "S3CRET"} }"#;
        let settings = Settings::read(text.as_bytes(), &key()).unwrap();
        assert!(!format!("{settings:?}").to_lowercase().contains("s3cret"), "{settings:?}");
        assert_eq!(settings.proxy["timeouts"], json!({"reply": "4s"}));
        assert_eq!(settings.proxy["server"], json!({"drain_timeout": "9s"}));
        assert_eq!(settings.proxy["upstream_proxies"][0]["weight"], 3);
        assert!(settings.upstreams[0].tls && settings.upstreams.len() == 2);
        assert!(settings.left_out.iter().any(|one| one.starts_with("timeouts.connect")), "{:?}", settings.left_out);
        assert!(!Settings::read(b"S3CRET", &key()).unwrap_err().contains("S3CRET"));
    }

    #[test]
    fn an_address_in_a_log_is_found_again() {
        let read = |url: &str| {
            let text = json!({ "upstream_proxies": [{ "url": url }] }).to_string();
            Settings::read(text.as_bytes(), &key()).unwrap().upstreams.remove(0)
        };
        for (configured, logged) in [
            ("http://user:pass@A.example:3128", "http://a.example:3128"),
            ("http://a.example", "http://a.example:80"),
            ("HTTPS://a.example/", "https://a.example:443"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("http://[::1]", "http://[::1]:80"),
        ] {
            assert_eq!(read(configured).url, hashed_url(logged, &key()), "{configured}");
        }
        assert_ne!(read("http://a:1@x:1").host, read("http://b:1@x:1").host);
    }

    #[test]
    fn lines_of_a_reload_are_read_where_they_can_be_replayed() {
        let upstream = |url: &str| hashed_url(url, &key());
        let field =
            |section: &str, field: &str, value: Json| Some(Change::Field(section.to_owned(), field.to_owned(), value));
        for (line, wanted) in [
            ("timeouts.connect: 10s → 1.5s", field("timeouts", "connect", json!("1s 500ms"))),
            ("failover.max_attempts: 3 → 2", field("failover", "max_attempts", json!(2))),
            ("server.name: \"a\" → \"b\"", None),
            ("server.via: Off → Random", None),
            ("authentication enabled", None),
            ("upstream http://a:1 removed", Some(Change::Upstream(upstream("http://a:1"), None))),
            (
                "upstream http://a:1 weight 1 → 7",
                Some(Change::Upstream(
                    upstream("http://a:1"),
                    Some([("enabled", json!(true)), ("weight", json!(7))].into()),
                )),
            ),
            (
                "upstream http://a:1 disabled",
                Some(Change::Upstream(upstream("http://a:1"), Some([("enabled", json!(false))].into()))),
            ),
            ("upstream http://a:1 as \"x\" removed", None),
            ("upstream http://a:1 password changed", None),
        ] {
            assert_eq!(change(line, &key()), wanted, "{line}");
        }
    }
}
