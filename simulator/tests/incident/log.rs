//! The log of a simulated run, line by line as the proxy would have written it at level debug.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use simulator::record::{ProxyEvent, ScenarioEvent, Trace, What};
use simulator::scenario::{HostName, PROXY, Scenario, UPSTREAM_PORT};

pub(crate) fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// Numbers upstreams as a process does.
struct Numbers<'a> {
    scenario: &'a Scenario,
    known: BTreeMap<String, usize>,
}

impl Numbers<'_> {
    fn of(&mut self, host: &str) -> usize {
        let next = self.known.len();
        *self.known.entry(host.to_owned()).or_insert(next)
    }

    fn url(&self, host: &str) -> String {
        let tls = self.scenario.upstreams.iter().any(|one| one.name == host && one.tls);
        format!("{}://{host}:{UPSTREAM_PORT}", if tls { "https" } else { "http" })
    }

    fn named(&mut self, upstream: &HostName) -> Json {
        json!({ "id": format!("u{}", self.of(upstream.as_str())), "name": upstream.as_str(), "upstream": self.url(upstream.as_str()) })
    }

    /// The fields of the line that tells of `event`; none for what no log tells.
    fn fields(&mut self, at: Duration, event: &ProxyEvent) -> Option<Json> {
        let millis = |micros: u64| micros as f64 / 1e3;
        let due = |until_us: u64| millis(until_us.saturating_sub(at.as_micros() as u64));
        let word = event.word().unwrap_or("started");
        let mut line = match event {
            ProxyEvent::Started { .. } => json!({}),
            ProxyEvent::EpochStarted { number, offset, members } => {
                let members = members.iter().map(|(host, weight)| format!("u{}={weight}", self.of(host.as_str())));
                json!({ "number": number, "offset": offset, "members": members.collect::<Vec<_>>().join(" ") })
            }
            ProxyEvent::PickMade { request, attempt, epoch, ticket, upstream, probe } => {
                let id = format!("u{}", self.of(upstream.as_str()));
                json!({ "request": request, "attempt": attempt, "epoch": epoch, "ticket": ticket, "id": id, "probe": probe })
            }
            ProxyEvent::AttemptEnded { request, upstream, failure, took_us } => {
                let id = format!("u{}", self.of(upstream.as_str()));
                json!({ "request": request, "id": id, "failure": failure, "took_ms": millis(*took_us) })
            }
            ProxyEvent::Ejected { upstream, failures, until_us } => {
                let mut line = self.named(upstream);
                (line["failures"], line["probe_in_ms"]) = (json!(failures), json!(due(*until_us)));
                line
            }
            ProxyEvent::BackedOff { upstream, until_us } => {
                let mut line = self.named(upstream);
                line["probe_in_ms"] = json!(due(*until_us));
                line
            }
            ProxyEvent::Recovered { upstream, after_us } => {
                let mut line = self.named(upstream);
                line["after_ms"] = json!(millis(*after_us));
                line
            }
            ProxyEvent::Decided { request, success } => json!({ "request": request, "success": success }),
            ProxyEvent::Finished(end) => {
                let host = |url: &str| url.rsplit_once("//").unwrap().1.rsplit_once(':').unwrap().0.to_owned();
                let id = end.upstream.as_deref().map(|url| format!("u{}", self.of(&host(url))));
                let failed_ids: Vec<_> =
                    end.failed_attempts.iter().map(|(url, _)| format!("u{}", self.of(&host(url)))).collect();
                let failed: Vec<_> =
                    end.failed_attempts.iter().map(|(url, failure)| format!("{url}={failure}")).collect();
                json!({
                    "request": end.request, "client": end.client, "user": end.user, "method": end.method, "target": end.target,
                    "status": end.status, "outcome": end.outcome, "blame": end.blame, "id": id, "upstream": end.upstream, "failed_ids": failed_ids.join(" "),
                    "attempts": end.attempts, "failed": failed.join(" "), "bytes_up": end.bytes_up, "bytes_down": end.bytes_down,
                    "latency_ms": millis(end.latency_us), "duration_ms": millis(end.duration_us), "end": end.end,
                })
            }
            ProxyEvent::Reloaded { config_epoch, changes, restart_required } => {
                let (changes, waits) = (changes.join("; "), restart_required.join("; "));
                json!({ "config_epoch": config_epoch, "changes": changes, "restart_required": waits })
            }
            ProxyEvent::DrainStarted { open } => json!({ "open": open }),
            ProxyEvent::Drained { reset } => json!({ "reset": reset }),
            _ => return None,
        };
        let Json::Object(fields) = &mut line else { return None };
        // As the proxy does, what is not there is left out.
        fields.retain(|_, value| !value.is_null());
        fields.insert("event".to_owned(), word.into());
        Some(line)
    }
}

/// One line, at a time of a day.
pub(crate) fn line(at: Duration, mut fields: Json) -> String {
    let noon = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fields["timestamp"] = humantime::format_rfc3339_micros(noon + at).to_string().into();
    format!("{fields}\n")
}

/// The log of the story that `trace` tells. `debug` has it complete.
pub(crate) fn of(scenario: &Scenario, trace: &Trace, debug: bool) -> String {
    let mut numbers = Numbers { scenario, known: BTreeMap::new() };
    let hosts: Vec<&str> = scenario.upstreams.iter().map(|one| one.name.as_str()).collect();
    let mut text = String::new();
    for one in &trace.lines {
        match &one.what {
            What::Scenario(ScenarioEvent::Phase { name: "liveness" }) => break,
            What::Proxy(event) if one.host.as_str() == PROXY => {
                if matches!(event, ProxyEvent::EpochStarted { number: 0, .. }) {
                    numbers.known = hosts.iter().map(|host| (*host).to_owned()).zip(0..).collect();
                }
                let at_info = [
                    "started",
                    "finished",
                    "ejected",
                    "recovered",
                    "backed_off",
                    "reloaded",
                    "drain_started",
                    "drained",
                ];
                let told = debug || at_info.contains(&event.word().unwrap_or("started"));
                if let Some(fields) = numbers.fields(one.at(), event).filter(|_| told) {
                    text.push_str(&line(one.at(), fields));
                }
            }
            _ => {}
        }
    }
    text
}
