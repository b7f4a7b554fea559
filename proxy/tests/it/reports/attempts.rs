//! Tests what is told of each attempt: how far it came and how long that took, whose fault its failure was, and that event,
//! summary, log and metrics say the same.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxy::config::{LogFormat, LogTo, Logging};
use proxy::core::attribution::{Blame, Rule};
use proxy::core::time::Timestamp;
use proxy::daemon::log::{Log, lines};
use proxy::event::{AttemptSummary, Event, Observer, Phase, Phases, Summary};
use serde_json::{Value, json};

use crate::http::plain::get;
use crate::reports::metrics::{page, sum};
use crate::support::{Double, Heard, Memory, TestProxy, config, parse, run, run_paused};
use crate::tunnels::timing::{addr, connect, secs, with_timeouts};
use crate::upstreams::tls::{Certificates, entry, opening, with_upstreams};

fn reached(attempt: &AttemptSummary) -> Vec<Phase> {
    attempt.phases.reached().map(|(phase, _)| phase).collect()
}

/// Those of the `nth` attempt that ended.
async fn told(proxy: &TestProxy, nth: usize) -> Phases {
    let phases = |heard: &Heard| match heard {
        Heard::Attempt { phases, .. } => Some(*phases),
        _ => None,
    };
    proxy.ear.wait_nth(nth, phases).await
}

#[test]
fn an_attempt_tells_the_phases_that_it_went_through() {
    run(async {
        let certificates = Certificates::new();
        let port = opening(&certificates).await;
        let mut entry = entry("localhost", port, "ca.pem");
        entry["tag"] = "far".into();
        let proxy = TestProxy::with(certificates.read(&with_upstreams(json!([entry])))).await;
        proxy.tunnel("a.test:443").await.finish().await;
        let summary = proxy.ear.finished(1).await;
        let attempt = summary.attempt.unwrap();
        assert_eq!(reached(&attempt), Phase::ALL);
        assert_eq!(told(&proxy, 1).await, attempt.phases);
        assert_eq!(attempt.upstream.tag.as_deref(), Some("far"));
        let phases: Duration = attempt.phases.reached().map(|(_, took)| took).sum();
        assert!(phases <= summary.latency, "{phases:?} of {:?}", summary.latency);
        let page = page(&proxy).await;
        for phase in Phase::ALL {
            let with = format!("{{phase=\"{}\"}}", phase.as_str());
            assert_eq!(sum(&page, "netdrift_attempt_phase_seconds_count", &with), 1, "{page}");
        }
    });
}

/// An address needs no lookup, and a connection that is kept only has to be asked.
#[test]
fn a_phase_that_an_attempt_does_not_need_is_not_told() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            while peer.next_head().await.is_some() {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        for expected in [vec![Phase::Tcp, Phase::Reply], vec![Phase::Reply]] {
            client.send(get("/")).await;
            client.response().await;
            let nth = 1 + usize::from(expected.len() == 1);
            assert_eq!(reached(&proxy.ear.finished(nth).await.attempt.unwrap()), expected);
        }
    });
}

/// The clock stands still but for what the network takes, so the times are exact.
#[test]
fn each_phase_is_told_with_the_time_that_it_took() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), secs(1), |mut peer| async move {
            peer.head().await;
            tokio::time::sleep(secs(2)).await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = peer.rest().await;
        })
        .await;
        let (_, ear) = net.start(parse(&with_timeouts(&[addr(1)], json!({})))).await;
        let mut client = net.client();
        assert_eq!(connect(&mut client).await, 200);
        drop(client);
        let phases = ear.finished(1).await.attempt.unwrap().phases;
        assert_eq!(phases.reached().collect::<Vec<_>>(), [(Phase::Tcp, secs(1)), (Phase::Reply, secs(2))]);
        net.black_hole(addr(2));
        let (_, ear) = net.start(parse(&with_timeouts(&[addr(2)], json!({ "connect": "3s" })))).await;
        assert_eq!(connect(&mut net.client()).await, 504);
        let phases = ear.finished(1).await.failed_attempts[0].attempt.phases;
        assert_eq!(phases.reached().collect::<Vec<_>>(), [(Phase::Tcp, secs(3))], "it failed in that one");
    });
}

/// One refuses the connection, the next the target, the last opens it.
async fn two_fail_and_one_opens() -> (TestProxy, Summary) {
    let good = Double::replying("HTTP/1.1 200 OK\r\n\r\n").await;
    let bad = Double::replying("HTTP/1.1 503 No\r\nX-Error-Description: no exit\r\nContent-Length: 0\r\n\r\n").await;
    let mut config = config(&[Double::refusing().await, bad.addr, good.addr]);
    config["upstream_proxies"][0]["weight"] = 2.into();
    let proxy = TestProxy::start(config).await;
    for number in 1.. {
        proxy.tunnel("a.test:443").await.finish().await;
        let summary = proxy.ear.finished(number).await;
        if summary.attempts == 3 {
            return (proxy, summary);
        }
        assert!(number < 9, "never both failed");
    }
    unreachable!()
}

#[test]
fn every_failed_attempt_has_its_own_cause_and_blame() {
    run(async {
        let (proxy, summary) = two_fail_and_one_opens().await;
        let mut failed: Vec<_> = (summary.failed_attempts.iter())
            .map(|one| (one.failure, one.cause.as_deref().unwrap(), one.blame.unwrap(), reached(&one.attempt)))
            .collect();
        failed.sort_by_key(|one| one.0);
        let refused = (Blame::Upstream, Rule::Unreachable);
        let elsewhere = (Blame::Upstream, Rule::OpenedElsewhere);
        assert_eq!(
            failed,
            [
                ("connect_refused", "Connection refused (os error 111)", refused, vec![Phase::Tcp]),
                ("status_5xx", "status 503: no exit", elsewhere, vec![Phase::Tcp, Phase::Reply]),
            ]
        );
        let page = page(&proxy).await;
        for with in [
            "stage=\"tcp\",failure=\"connect_refused\",blame=\"upstream\"",
            "stage=\"reply\",failure=\"status_5xx\",blame=\"upstream\"",
        ] {
            assert!(sum(&page, "netdrift_upstream_failed_attempts_total", with) > 0, "{with}\n{page}");
        }
        let requests = proxy.ear.heard().into_iter().filter_map(|heard| match heard {
            Heard::Finished(summary) => Some(summary.failed_attempts.len() as u64),
            _ => None,
        });
        assert_eq!(sum(&page, "netdrift_upstream_failed_attempts_total", ""), requests.sum::<u64>());
    });
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The line of `event` in a log as JSON.
fn logged(event: &Event<'_>) -> Value {
    let written = Written::default();
    let logging = Logging {
        format: LogFormat::Json,
        level: "debug".to_owned(),
        to: LogTo::Stderr,
        sample_successes: NonZeroU64::MIN,
        access_format: None,
    };
    let writer = written.clone();
    let log = lines(&logging, move || writer.clone()).unwrap();
    tracing::dispatcher::with_default(&log, || Log::default().on(Timestamp::ZERO, event));
    serde_json::from_slice(&written.0.lock().unwrap()).unwrap()
}

#[test]
fn the_log_tells_the_phases_and_every_cause() {
    run(async {
        let (_, summary) = two_fail_and_one_opens().await;
        let line = logged(&Event::Finished(&summary));
        let millis = |phase: Phase, attempt: &AttemptSummary| {
            attempt.phases.get(phase).map(|took| json!(took.as_micros() as f64 / 1000.0))
        };
        let attempt = summary.attempt.as_ref().unwrap();
        assert_eq!(line.get("tcp_ms"), millis(Phase::Tcp, attempt).as_ref());
        assert_eq!(line.get("reply_ms"), millis(Phase::Reply, attempt).as_ref());
        assert_eq!((line.get("lookup_ms"), line.get("tls_ms")), (None, None));
        let causes: Vec<&str> = line["failed_causes"].as_str().unwrap().split("; ").collect();
        let expected: Vec<&str> = summary.failed_attempts.iter().map(|one| one.cause.as_deref().unwrap()).collect();
        assert_eq!(causes, expected);
        let failed = &summary.failed_attempts[0];
        let line = logged(&Event::AttemptEnded {
            request: Some(1),
            upstream: failed.attempt.upstream.id,
            failure: Some(failed.failure),
            cause: failed.cause.as_deref(),
            phases: failed.attempt.phases,
            took: Duration::ZERO,
        });
        assert_eq!(line.get("tcp_ms"), millis(Phase::Tcp, &failed.attempt).as_ref());
        assert_eq!(line["cause"], json!(failed.cause.as_deref()));
    });
}
