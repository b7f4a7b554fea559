//! Reads the log of a live proxy: each line of JSON that names an event becomes that event again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use serde_json::Value as Json;

use super::start::Start;
use crate::record::{ProxyEvent, Recorder, What, parse_log_line};
use crate::scenario::{HostName, PROXY};

/// Reads the log of one process of the proxy.
pub(super) struct Witness {
    host: HostName,
    recorder: Recorder,
    beginning: Arc<OnceLock<Start>>,
    names: BTreeMap<IpAddr, HostName>,
    /// All lines of it and of the processes before it, if they are to be kept.
    lines: Option<Arc<Mutex<String>>>,
    /// When the process wrote its first event.
    first: OnceLock<SystemTime>,
}

/// What a line of the log says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The proxy listens.
    Started,
    /// A reload has ended: the proxy has taken the configuration or refused it.
    Reloaded,
    /// Another event.
    Event,
    /// A line for people.
    Remark,
    /// The line names an event, but can't be read. The text says why.
    Garbled(String),
}

impl Witness {
    pub(super) fn new(
        recorder: Recorder,
        beginning: Arc<OnceLock<Start>>,
        names: BTreeMap<IpAddr, HostName>,
        lines: Option<Arc<Mutex<String>>>,
    ) -> Self {
        // The log of a killed process is read after its death, and what it wrote before counts.
        let recorder = recorder.for_what_is_left();
        Witness { host: HostName::new(PROXY), recorder, beginning, names, lines, first: OnceLock::new() }
    }

    /// Records the event that `line` names, if it names one.
    pub(super) fn hear(&self, line: &str) -> Heard {
        if let Some(lines) = &self.lines {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push_str(line);
            lines.push('\n');
        }
        let Ok(json) = serde_json::from_str::<Json>(line) else { return Heard::Remark };
        if json.get("event").is_none() {
            return Heard::Remark;
        }
        let said = json.get("timestamp").and_then(Json::as_str).and_then(|text| humantime::parse_rfc3339(text).ok());
        let Some(said) = said else { return Heard::Garbled(format!("no time: {line}")) };
        let first = *self.first.get_or_init(|| said);
        let since_start = said.duration_since(first).unwrap_or_default();
        let name = |id| self.recorder.upstream(id);
        let event = parse_log_line(&json, since_start, name, |url| self.by_name(url));
        let Some(event) = event else { return Heard::Garbled(format!("not as its event should be: {line}")) };
        let heard = match event {
            ProxyEvent::Started { .. } => Heard::Started,
            ProxyEvent::Reloaded { .. } | ProxyEvent::ReloadFailed { .. } => Heard::Reloaded,
            _ => Heard::Event,
        };
        // An event before the beginning of the run is recorded as if it happened at the beginning.
        let at = self.beginning.get().and_then(|begun| said.duration_since(begun.wall).ok());
        self.recorder.write_at(at.unwrap_or_default(), &self.host, What::Proxy(event));
        heard
    }

    /// Replaces the address in a URL such as `http://127.128.3.4:8080` by the host's name.
    fn by_name(&self, url: &str) -> String {
        let parts = url.split_once("://").and_then(|(scheme, place)| Some((scheme, place.rsplit_once(':')?)));
        let known = parts.and_then(|(scheme, (host, port))| {
            Some(format!("{scheme}://{}:{port}", self.names.get(&host.parse::<IpAddr>().ok()?)?))
        });
        known.unwrap_or_else(|| url.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::Clock;

    #[test]
    fn a_line_that_is_not_as_its_event_should_be_is_told_of() {
        let recorder = Recorder::new(Clock::new(|| Duration::ZERO));
        let names = BTreeMap::from([([127, 128, 3, 4].into(), HostName::new("alpha"))]);
        let witness = Witness::new(recorder.clone(), Arc::default(), names, None);
        assert_eq!(witness.hear("not JSON"), Heard::Remark);
        assert_eq!(witness.hear(r#"{"timestamp":"2026-01-01T00:00:00.000001Z","message":"hello"}"#), Heard::Remark);
        let pick = r#"{"timestamp":"2026-01-01T00:00:00.000001Z","event":"pick_made","epoch":0}"#;
        assert!(matches!(witness.hear(pick), Heard::Garbled(_)));
        assert!(matches!(witness.hear(r#"{"event":"drained","reset":0}"#), Heard::Garbled(_)));
        assert_eq!(recorder.take().lines, []);
        let drained = r#"{"timestamp":"2026-01-01T00:00:00.000001Z","event":"drained","reset":0}"#;
        assert_eq!(witness.hear(drained), Heard::Event);
        assert_eq!(recorder.take().lines.len(), 1);
        assert_eq!(witness.by_name("http://127.128.3.4:8080"), "http://alpha:8080");
        assert_eq!(witness.by_name("http://127.128.3.40:8080"), "http://127.128.3.40:8080");
    }
}
