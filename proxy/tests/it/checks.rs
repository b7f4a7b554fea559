//! When checks and probes come, to the millisecond, on a clock that stands still between deadlines.

use std::time::Duration;

use proxy::testing::MemoryStream;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::support::{Client, Heard, Memory, parse, run_paused};
use super::timing::{addr, connect, millis, opening, secs, silent, with_timeouts};

fn checked(endpoints: Value) -> Value {
    let mut config = with_timeouts(&[addr(1)], json!({}));
    config["health_check"] = json!({
        "enabled": true, "endpoints": endpoints, "interval_seconds": 30, "timeout_seconds": 10,
        "failure_threshold": 2, "backoff_base": "5s", "backoff_max": "40s"
    });
    config
}

/// The environment's random numbers are 0: the first check comes at once, each next one a tenth early, and each back-off a
/// fifth early.
#[test]
fn checks_come_on_their_interval_and_probes_on_a_growing_back_off() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), Duration::ZERO, opening).await;
        let (_, ear) = net.start(parse(&checked(json!(["e.test:443"])))).await;
        sleep(secs(60)).await;
        let times = |net: &Memory| -> Vec<u64> { net.connects().iter().map(|(at, _)| at.as_secs()).collect() };
        assert_eq!(times(&net), [0, 27, 54]);
        // Two failures eject; then 4, 8, 16, 32 and, capped, 32 seconds.
        net.refuse(addr(1));
        ear.wait(|heard| matches!(heard, Heard::Ejected { .. }).then_some(())).await;
        assert_eq!(net.elapsed(), secs(108));
        let back_off = |heard: &Heard| matches!(heard, Heard::BackedOff { .. }).then_some(());
        ear.wait_nth(5, back_off).await;
        assert_eq!(times(&net)[3..], [81, 108, 112, 120, 136, 168, 200]);
        net.serve(addr(1), Duration::ZERO, opening).await;
        ear.wait(|heard| matches!(heard, Heard::Recovered { .. }).then_some(())).await;
        assert_eq!(net.elapsed(), secs(232));
    });
}

/// A probe that decides nothing changes nothing that anybody is told of, but the next one has to come all the same.
#[test]
fn a_probe_that_decides_nothing_is_followed_by_the_next() {
    run_paused(async {
        let net = Memory::default();
        let mut config = checked(json!(["e.test:443"]));
        config["health_check"]["recovery_threshold"] = json!(2);
        let (_, ear) = net.start(parse(&config)).await;
        ear.wait(|heard| matches!(heard, Heard::Ejected { .. }).then_some(())).await;
        assert_eq!(net.elapsed(), secs(27));
        // Whose fault this is can't be told with a single upstream.
        net.serve(addr(1), Duration::ZERO, async |mut peer: Client<MemoryStream>| {
            peer.head().await;
            peer.send("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        })
        .await;
        sleep(secs(13)).await;
        let times: Vec<u64> = net.connects().iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(times, [0, 27, 31, 35, 39]);
        net.serve(addr(1), Duration::ZERO, opening).await;
        ear.wait(|heard| matches!(heard, Heard::Recovered { .. }).then_some(())).await;
        assert_eq!(net.elapsed(), secs(43), "the second success need not wait");
    });
}

/// The endpoints come round only every third time, and the good upstream has been there before the bad one fails.
#[test]
fn checks_that_take_their_endpoints_in_turn_bear_witness_for_each_other() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), Duration::ZERO, opening).await;
        net.serve(addr(2), millis(1), async |mut peer: Client<MemoryStream>| {
            peer.head().await;
            peer.send("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        })
        .await;
        let mut config = checked(json!(["a.test:443", "b.test:443", "c.test:443"]));
        config["health_check"]["endpoint_rotation"] = json!(true);
        config["upstream_proxies"] = super::support::config(&[addr(1), addr(2)])["upstream_proxies"].take();
        let (_, ear) = net.start(parse(&config)).await;
        sleep(secs(600)).await;
        let ejected = ear.heard().into_iter().find_map(|heard| match heard {
            Heard::Ejected { url, .. } => Some(url),
            _ => None,
        });
        assert_eq!(ejected, Some(format!("http://{}", addr(2))));
    });
}

#[test]
fn a_check_takes_no_longer_than_it_may() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), Duration::ZERO, silent).await;
        let (_, ear) = net.start(parse(&checked(json!(["e.test:443"])))).await;
        let failed = |heard: &Heard| match heard {
            Heard::Attempt { failure, .. } => Some(*failure),
            _ => None,
        };
        assert_eq!(ear.wait(failed).await, Some("reply_timeout"));
        assert_eq!(net.elapsed(), secs(10));
    });
}

/// Without checks, traffic probes: not before the back-off is over, and then with one request at a time.
#[test]
fn a_probe_is_lent_when_the_back_off_is_over_and_only_one_at_a_time() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(2), Duration::ZERO, opening).await;
        let mut config = with_timeouts(&[addr(1), addr(2)], json!({ "reply": "20s" }));
        config["health_check"] = json!({ "failure_threshold": 1, "backoff_base": "5s" });
        let (_, ear) = net.start(parse(&config)).await;
        let to_first = || net.connects().iter().filter(|(_, to)| *to == addr(1)).count();
        let open = async || assert_eq!(connect(&mut net.client()).await, 200);
        open().await;
        open().await;
        assert_eq!(to_first(), 1, "ejected by its first failure");
        sleep(millis(3_999)).await;
        open().await;
        assert_eq!(to_first(), 1, "not before 4 s");
        sleep(millis(1)).await;
        net.serve(addr(1), Duration::ZERO, silent).await;
        // The lent request waits for the silent one; the others do not.
        let before = net.elapsed();
        let lent = async {
            open().await;
            assert_eq!(net.elapsed() - before, secs(20), "the lent one fails over behind its probe");
        };
        let others = async {
            sleep(millis(1)).await;
            for _ in 0..4 {
                open().await;
            }
            assert_eq!(net.elapsed() - before, millis(1));
        };
        tokio::join!(lent, others);
        assert_eq!(to_first(), 2, "one probe");
        drop(ear);
    });
}
