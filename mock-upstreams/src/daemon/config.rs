//! Reads the file of `--config`: the upstreams of one process.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use mock_upstreams::upstream::{Auth, Settings};

/// One upstream that the process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamConfig {
    /// Its name in the journal, which `/ip` answers.
    pub(crate) name: String,
    /// The port that it listens on; 0 lets the system choose.
    pub(crate) port: u16,
    /// Its settings.
    pub(crate) settings: Settings,
}

impl UpstreamConfig {
    /// Makes an upstream on `port`, named after it.
    pub(crate) fn on_port(port: u16, settings: Settings) -> Self {
        UpstreamConfig { name: format!("mock-{port}"), port, settings }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    bind: Option<IpAddr>,
    upstreams: Vec<RawUpstream>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUpstream {
    name: Option<String>,
    port: u16,
    auth: Option<String>,
    latency: Option<String>,
    idle_timeout: Option<String>,
}

/// Why a configuration file can't be used: the file, the place in it, and what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

/// Reads the file at `path`: the address to listen on, if it names one, and at least one upstream.
///
/// # Errors
/// The file can't be read, is not JSON, has an unknown field, names no upstream, or names two upstreams alike.
pub(crate) fn read(path: &Path) -> Result<(Option<IpAddr>, Vec<UpstreamConfig>), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError(format!("{}: {error}", path.display())))?;
    parse(&text).map_err(|error| ConfigError(format!("{}: {error}", path.display())))
}

fn parse(text: &str) -> Result<(Option<IpAddr>, Vec<UpstreamConfig>), ConfigError> {
    let raw: Raw = serde_json::from_str(text).map_err(|error| ConfigError(error.to_string()))?;
    if raw.upstreams.is_empty() {
        return Err(ConfigError("upstreams: must name at least one".to_owned()));
    }
    let upstreams = raw.upstreams.into_iter().enumerate().map(|(index, raw)| upstream(index, raw));
    let upstreams = upstreams.collect::<Result<Vec<_>, _>>()?;
    let mut names = BTreeSet::new();
    for (index, upstream) in upstreams.iter().enumerate() {
        if !names.insert(&upstream.name) {
            return Err(ConfigError(format!("upstreams[{index}].name: {:?} is taken by another", upstream.name)));
        }
    }
    Ok((raw.bind, upstreams))
}

fn upstream(index: usize, raw: RawUpstream) -> Result<UpstreamConfig, ConfigError> {
    let at = |field: &str, text: String| ConfigError(format!("upstreams[{index}].{field}: {text}"));
    let auth = match raw.auth {
        Some(pair) => Some(Auth::parse(&pair).ok_or_else(|| at("auth", "must be \"user:password\"".to_owned()))?),
        None => None,
    };
    let time = |field: &str, text: Option<String>| {
        let read = |text: &String| {
            humantime::parse_duration(text)
                .map_err(|error| at(field, format!("must be like \"250ms\" ({error}; got {text:?})")))
        };
        text.as_ref().map(read).transpose()
    };
    let latency = time("latency", raw.latency)?.unwrap_or(Duration::ZERO);
    let settings = Settings { auth, latency, idle_timeout: time("idle_timeout", raw.idle_timeout)? };
    Ok(UpstreamConfig { name: raw.name.unwrap_or_else(|| format!("mock-{}", raw.port)), port: raw.port, settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_read() {
        let text = r#"{"bind": "127.0.0.2",
            "upstreams": [{"name": "a", "port": 4000, "auth": "u:p:q", "latency": "20ms", "idle_timeout": "3s"}, {"port": 4001}]}"#;
        let (bind, upstreams) = parse(text).unwrap();
        assert_eq!(bind.unwrap().to_string(), "127.0.0.2");
        let auth = Auth { user: "u".to_owned(), password: "p:q".to_owned() };
        let settings = Settings {
            auth: Some(auth),
            latency: Duration::from_millis(20),
            idle_timeout: Some(Duration::from_secs(3)),
        };
        assert_eq!(upstreams[0], UpstreamConfig { name: "a".to_owned(), port: 4000, settings });
        assert_eq!(upstreams[1], UpstreamConfig::on_port(4001, Settings::default()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, expected) in [
            (r#"{"upstreams": []}"#, "at least one"),
            (r#"{"upstreams": [{"port": 1, "latency": "fast"}]}"#, "upstreams[0].latency"),
            (r#"{"upstreams": [{"port": 1, "idle_timeout": "soon"}]}"#, "upstreams[0].idle_timeout"),
            (r#"{"upstreams": [{"port": 1, "auth": "x"}]}"#, "upstreams[0].auth"),
            (r#"{"upstreams": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]}"#, "upstreams[1].name"),
            (r#"{"upstreams": [{"port": 1, "latencyy": "1s"}]}"#, "unknown field `latencyy`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
