//! The values that a subject's templates may name: what the scenario's configuration says, in simple words.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proxy::config::{Authentication, Config, Password, Transport};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value as Json, json};

use crate::scenario::{CA_FILE, HostName};

/// Where a subject runs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The address at which it listens.
    pub listen: IpAddr,
    /// A folder of the run in which it may write.
    pub folder: &'a Path,
    /// netdrift's binary.
    pub proxy: &'a Path,
    /// Its configuration file. That of the certificate authority is beside it.
    pub config: &'a Path,
}

impl Place<'_> {
    /// The values that commands may name whatever the configuration says.
    pub fn values(&self) -> Json {
        let ca_file = self.config.with_file_name(CA_FILE);
        json!({ "folder": self.folder, "proxy": self.proxy, "config": self.config, "ca_file": ca_file })
    }
}

/// The values that templates may name. CONTRIBUTING.md lists them.
pub fn settings(config: &Config, hosts: &BTreeMap<IpAddr, HostName>, place: &Place<'_>) -> Json {
    let address = |host: &str| {
        let found = hosts.iter().find(|(_, name)| name.as_str() == host);
        found.map_or_else(|| host.to_owned(), |(address, _)| address.to_string())
    };
    let upstreams = config.upstreams.iter().filter(|upstream| upstream.weight.get() > 0).map(|upstream| {
        let credentials = upstream.credentials.as_ref();
        json!({
            "name": upstream.host,
            "address": address(&upstream.host),
            "port": upstream.port,
            "weight": upstream.weight.get(),
            "tls": matches!(upstream.transport, Transport::Tls { .. }),
            "user": credentials.map(|own| &own.username),
            "password": credentials.map(|own| own.password.expose()),
            "basic": credentials.map(|own| STANDARD.encode(format!("{}:{}", own.username, own.password.expose()))),
        })
    });
    let timeouts = &config.timeouts;
    let mut values = place.values();
    let configured = json!({
        "listen": { "address": place.listen, "port": config.server.listen.port() },
        "upstreams": upstreams.collect::<Vec<_>>(),
        "users": users(config),
        "attempts": config.failover.max_attempts,
        "failures": config.health.policy.failure_threshold,
        "max_connections": config.limits.max_connections,
        "timeouts": {
            "connect": span(timeouts.connect),
            "reply": span(timeouts.reply),
            "request": span(timeouts.request),
            "header": span(timeouts.header),
            "keep_alive": span(timeouts.keep_alive),
            "body": span(timeouts.body),
            "tunnel": span(timeouts.idle_tunnel),
            "pool": span(timeouts.pool_idle),
            "back_off": span(config.health.policy.backoff_base),
            "drain": span(config.server.drain_timeout),
        },
    });
    if let (Some(all), Json::Object(more)) = (values.as_object_mut(), configured) {
        all.extend(more);
    }
    values
}

/// Those whom it lets in, if it asks for credentials. A user of whom only a hash is known is left out: scenarios with one are refused.
fn users(config: &Config) -> Vec<Json> {
    let Authentication::Basic { users, .. } = &config.authentication else { return Vec::new() };
    let known = users.iter().filter_map(|user| match &user.password {
        Password::Plain(password) => {
            let password = password.expose();
            let sha1 = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()));
            Some(json!({ "name": user.name, "password": password, "sha1": sha1 }))
        }
        Password::Bcrypt(_) | Password::Argon2(_) => None,
    });
    known.collect()
}

/// A length of time in milliseconds, and in whole seconds, rounded up, of which there is at least one.
fn span(length: Duration) -> Json {
    let milliseconds = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    json!({ "ms": milliseconds, "s": milliseconds.div_ceil(1000).max(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{self, ConfigFile, PROXY};

    #[test]
    fn upstreams_stand_by_address_and_those_without_weight_are_left_out() {
        let story = r#"{"name": "x", "story": "x", "duration": "1s", "upstreams": [{"name": "a", "auth": "u:p"}, {"name": "b"}],
            "proxy": {"authentication": {"enabled": true, "users": [{"username": "k", "password": "p"}]},
            "timeouts": {"connect": "1500ms"}, "upstream_proxies": [{"url": "http://u:p@a:8080", "weight": 3},
            {"url": "http://b:8080", "weight": 0}]}, "clients": [{"name": "k", "do": "echo", "requests": 1}]}"#;
        let config = ConfigFile::first(&scenario::parse(story).unwrap(), PROXY).config.unwrap();
        let hosts = BTreeMap::from([([127, 0, 0, 7].into(), HostName::new("a"))]);
        let folder = Path::new("/f");
        let place = Place { listen: [127, 0, 0, 1].into(), folder, proxy: Path::new("/p"), config: folder };
        let values = settings(&config, &hosts, &place);
        assert_eq!(
            values["upstreams"],
            json!([{"name": "a", "address": "127.0.0.7", "port": 8080, "weight": 3, "tls": false, "user": "u", "password": "p",
                "basic": "dTpw"}])
        );
        let sha1 = "UWuXg/ylF+7L0dBk2i0WUxCxl1k=";
        assert_eq!(values["users"], json!([{"name": "k", "password": "p", "sha1": sha1}]));
        assert_eq!(values["listen"], json!({"address": "127.0.0.1", "port": 3130}));
        assert_eq!(values["timeouts"]["connect"], json!({"ms": 1500, "s": 2}));
    }
}
