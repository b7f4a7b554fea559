//! A line of the proxy's JSON log is read as the event that it tells of.

use std::time::Duration;

use proxy::core::upstream::UpstreamId;
use serde_json::Value as Json;

use super::clock::micros;
use super::proxy_event::{Finished, ProxyEvent};
use super::words::known;
use crate::scenario::HostName;

/// The event that `line` tells of, `since_start` after the proxy's start; `name` says what an upstream is called, and `url`
/// how its address is written. `None` where it is not as the proxy writes it.
pub fn parse(
    line: &Json,
    since_start: Duration,
    name: impl Fn(UpstreamId) -> HostName,
    url: impl Fn(&str) -> String,
) -> Option<ProxyEvent> {
    let text = |field: &str| line.get(field).and_then(Json::as_str);
    let number = |field: &str| line.get(field).and_then(Json::as_u64);
    let small = |field: &str| number(field).and_then(|number| u32::try_from(number).ok());
    let size = |field: &str| number(field).and_then(|number| usize::try_from(number).ok());
    let flag = |field: &str| line.get(field).and_then(Json::as_bool);
    let span = |field: &str| line.get(field).and_then(Json::as_f64).map(|ms| (ms * 1e3).round() as u64);
    let due = |field: &str| Some(micros(since_start) + span(field)?);
    let lines = |field: &str| -> Option<Vec<String>> {
        let text = text(field)?;
        Some(if text.is_empty() { Vec::new() } else { text.split("; ").map(str::to_owned).collect() })
    };
    let upstream = || upstream_id(text("id")?).map(&name);
    // `Some(None)` where there is no such field, `None` for a text that is none of the proxy's words.
    let word = |field: &str| text(field).map_or(Some(None), |text| known(text).map(Some));
    Some(match text("event")? {
        "started" => ProxyEvent::Started { config_epoch: 1 },
        "epoch_started" => {
            let member = |pair: &str| {
                let (id, weight) = pair.split_once('=')?;
                Some((name(upstream_id(id)?), weight.parse().ok()?))
            };
            let members = text("members")?.split_whitespace().map(member).collect::<Option<_>>()?;
            ProxyEvent::EpochStarted { number: number("number")?, offset: number("offset")?, members }
        }
        "pick_made" => ProxyEvent::PickMade {
            request: number("request"),
            attempt: small("attempt")?,
            epoch: number("epoch")?,
            ticket: number("ticket"),
            upstream: upstream()?,
            probe: flag("probe")?,
        },
        "probe_asked" => ProxyEvent::ProbeAsked { upstream: upstream()?, target: text("target")?.to_owned() },
        "attempt_ended" => ProxyEvent::AttemptEnded {
            request: number("request"),
            upstream: upstream()?,
            failure: word("failure")?,
            took_us: span("took_ms")?,
        },
        "blamed" => ProxyEvent::Blamed { upstream: upstream()?, blame: word("blame")??, rule: word("rule")?? },
        "suspected" => ProxyEvent::Suspected { upstream: upstream()?, failures: small("failures")? },
        "ejected" => {
            ProxyEvent::Ejected { upstream: upstream()?, failures: small("failures")?, until_us: due("probe_in_ms")? }
        }
        "backed_off" => ProxyEvent::BackedOff { upstream: upstream()?, until_us: due("probe_in_ms")? },
        "recovered" => ProxyEvent::Recovered { upstream: upstream()?, after_us: span("after_ms")? },
        "verdict" => ProxyEvent::Decided { request: number("request")?, success: flag("success")? },
        "finished" => {
            let failed = |pair: &str| pair.rsplit_once('=').and_then(|(place, why)| Some((url(place), known(why)?)));
            ProxyEvent::Finished(Finished {
                request: number("request")?,
                client: text("client")?.to_owned(),
                user: text("user").map(str::to_owned),
                method: text("method")?.to_owned(),
                target: text("target")?.to_owned(),
                status: u16::try_from(number("status")?).ok()?,
                outcome: word("outcome")??,
                blame: word("blame")?,
                upstream: text("upstream").map(&url),
                failed_attempts: text("failed")?.split_whitespace().map(failed).collect::<Option<_>>()?,
                attempts: small("attempts")?,
                bytes_up: number("bytes_up")?,
                bytes_down: number("bytes_down")?,
                latency_us: span("latency_ms")?,
                duration_us: span("duration_ms")?,
                end: word("end")?,
            })
        }
        "reloaded" => ProxyEvent::Reloaded {
            config_epoch: number("config_epoch")?,
            changes: lines("changes")?,
            restart_required: lines("restart_required")?,
        },
        "steered" => ProxyEvent::Steered { upstream: upstream()?, change: text("change")?.to_owned() },
        "tunnels_closed" => ProxyEvent::TunnelsClosed { filter: text("filter")?.to_owned(), closed: size("closed")? },
        "reload_failed" => {
            let (_, problems) = text("message")?.split_once('\n')?;
            ProxyEvent::ReloadFailed { problems: problems.to_owned() }
        }
        "drain_started" => ProxyEvent::DrainStarted { open: size("open")? },
        "drained" => ProxyEvent::Drained { reset: size("reset")? },
        "accept_failed" => ProxyEvent::AcceptFailed { error: text("error")?.to_owned() },
        _ => return None,
    })
}

/// "u7".
fn upstream_id(text: &str) -> Option<UpstreamId> {
    text.strip_prefix('u')?.parse().ok().map(UpstreamId::new)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;
    use std::num::NonZeroU64;
    use std::sync::{Arc, Mutex};

    use proxy::config::{LogFormat, LogTo, Logging};
    use proxy::core::attribution::{Blame, Rule};
    use proxy::core::time::Timestamp;
    use proxy::daemon::log::{Log, lines};
    use proxy::env::RelayEnd;
    use proxy::event::{
        AttemptSummary, Event, FailedAttemptSummary, Observer, Phase, Phases, Pick, Summary, UpstreamLabel,
    };

    use super::*;
    use crate::record::clock::Clock;
    use crate::record::event::What;
    use crate::record::observer::RecordingObserver;
    use crate::record::recorder::Recorder;
    use crate::scenario::PROXY;

    #[derive(Clone)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    const AT: Timestamp = Timestamp::from_nanos(5_000_000_000);

    fn label(id: u32, url: &str) -> Arc<UpstreamLabel> {
        Arc::new(UpstreamLabel {
            id: UpstreamId::new(id),
            name: format!("the {id}th").into(),
            url: url.into(),
            tag: (id == 1).then(|| "b".into()),
        })
    }

    fn attempt(id: u32, url: &str) -> AttemptSummary {
        let mut phases = Phases::default();
        phases.set(Phase::Tcp, Duration::from_micros(12));
        AttemptSummary { upstream: label(id, url), pick: Pick::default(), phases }
    }

    fn failed(id: u32, url: &str, failure: &'static str) -> FailedAttemptSummary {
        FailedAttemptSummary { attempt: attempt(id, url), failure, cause: Some("no \"route".into()), blame: None }
    }

    fn summary(whole: bool) -> Summary {
        Summary {
            request: 7,
            client: SocketAddr::from(([127, 0, 0, 1], 5)),
            user: whole.then(|| "alice".into()),
            method: "CONNECT".into(),
            target: "c-1.echo.mock:80".into(),
            config_epoch: 1,
            status: 200,
            outcome: "ok",
            blame: whole.then_some(Blame::Client),
            attempt: whole.then(|| attempt(1, "http://b:8080")),
            failed_attempts: if whole {
                vec![failed(0, "http://a:8080", "connect_refused"), failed(2, "http://c:8080", "closed_before_head")]
            } else {
                Vec::new()
            },
            cause: whole.then(|| "Connection refused (os error 111)".into()),
            attempts: 3,
            bytes_up: 100,
            bytes_down: 101,
            latency: Duration::from_micros(1234),
            duration: Duration::from_micros(9_876_543),
            end: whole.then_some(RelayEnd::Closed),
        }
    }

    /// One of each, and more where something may be left out.
    fn every_event(see: &mut dyn FnMut(&Event<'_>)) {
        let id = UpstreamId::new;
        let due = AT.after(Duration::from_micros(2_000_001));
        let (upstream, name, url) = (id(1), "b", "http://b:8080");
        see(&Event::EpochStarted { number: 3, offset: 17, members: &[(id(0), 3), (id(1), 10_000)] });
        see(&Event::EpochStarted { number: 4, offset: 0, members: &[] });
        see(&Event::PickMade { request: Some(7), attempt: 0, epoch: 3, ticket: Some(9), upstream, probe: false });
        see(&Event::PickMade { request: None, attempt: 1, epoch: 3, ticket: None, upstream, probe: true });
        see(&Event::ProbeAsked { upstream, target: "a.test:443" });
        let took = Duration::from_micros(1_500_499);
        see(&Event::AttemptEnded {
            request: Some(7),
            upstream,
            failure: Some("reply_timeout"),
            cause: Some("no reply"),
            phases: attempt(1, url).phases,
            took,
        });
        let (failure, phases, took) = (None, Phases::default(), Duration::ZERO);
        see(&Event::AttemptEnded { request: None, upstream, failure, cause: None, phases, took });
        see(&Event::Blamed { upstream, blame: Blame::Upstream, rule: Rule::Unreachable });
        see(&Event::Suspected { upstream, name, url, failures: 3, cause: None });
        see(&Event::Ejected { upstream, name, url, failures: 3, cause: None, until: due });
        see(&Event::BackedOff { upstream, name, url, cause: Some("no reply"), until: due });
        see(&Event::Recovered { upstream, name, url, after: Duration::from_micros(61_000_007) });
        see(&Event::Verdict { request: 7, success: true });
        see(&Event::Finished(&summary(true)));
        see(&Event::Finished(&summary(false)));
        let changes = ["upstream http://c:8080 added, weight 1".to_owned(), "timeouts: 1s → 2s".to_owned()];
        see(&Event::Reloaded { config_epoch: 2, changes: &changes, restart_required: &["logging.level".to_owned()] });
        see(&Event::Reloaded { config_epoch: 3, changes: &[], restart_required: &[] });
        see(&Event::Steered { upstream, name, url, change: "weight 1 → 2", uid: 0, pid: Some(7) });
        see(&Event::TunnelsClosed { filter: "user \"a\", id 7", closed: 12, uid: 0, pid: Some(7) });
        see(&Event::ReloadFailed { problems: "proxy.json: not JSON:\n\"x\" = 5" });
        see(&Event::DrainStarted { open: 12 });
        see(&Event::Drained { reset: 2 });
        see(&Event::AcceptFailed { reason: "descriptors", error: "Too many open files (os error 24)" });
    }

    /// The lines of `every_event` in the format that the live engine asks for.
    fn logged() -> Vec<Json> {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let logging = Logging {
            format: LogFormat::Json,
            level: "info,proxy=debug".to_owned(),
            to: LogTo::Stderr,
            sample_successes: NonZeroU64::MIN,
            access_format: None,
        };
        let writer = Written(Arc::clone(&written));
        let log = lines(&logging, move || writer.clone()).unwrap();
        tracing::dispatcher::with_default(&log, || every_event(&mut |event| Log::default().on(AT, event)));
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let all = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        all.filter(|line| line.get("event").is_some()).collect()
    }

    #[test]
    fn every_event_in_the_log_is_the_event_that_an_observer_hears() {
        let recorder = Recorder::new(Clock::new(|| Duration::ZERO));
        let witness = RecordingObserver { host: HostName::new(PROXY), recorder: recorder.clone() };
        let mut words = BTreeSet::new();
        every_event(&mut |event| {
            witness.on(AT, event);
            words.insert(event.word());
        });
        assert_eq!(words, ProxyEvent::WORDS.iter().copied().collect(), "one of each kind");
        let heard: Vec<What> = recorder.take().lines.into_iter().map(|line| line.what).collect();
        for what in &heard {
            let What::Proxy(event) = what else { panic!("{what:?}") };
            assert!(event.word().is_some_and(|word| words.contains(word)), "{event:?}");
        }
        let since_start = Duration::from_nanos(AT.as_nanos());
        let read: Vec<What> = logged()
            .iter()
            .map(|line| {
                let event = parse(line, since_start, |id| recorder.upstream(id), str::to_owned);
                What::Proxy(event.unwrap_or_else(|| panic!("{line}")))
            })
            .collect();
        assert_eq!(read, heard);
    }

    #[test]
    fn a_word_that_is_none_of_the_proxys_is_refused() {
        let lines = logged();
        let line = lines.iter().find(|line| line["event"] == "finished").unwrap();
        for field in ["outcome", "blame", "end", "failed"] {
            let mut altered = line.clone();
            altered[field] = Json::from("http://a:8080=hunter2");
            let read = |line| parse(line, Duration::ZERO, |id| HostName::new(&id.to_string()), str::to_owned);
            assert!(read(line).is_some() && read(&altered).is_none(), "{field}");
        }
    }
}
