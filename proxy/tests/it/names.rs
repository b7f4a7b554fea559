//! From an upstream's name to a connection: addresses raced, names resolved again, resolvers that fail.

use std::net::SocketAddr;
use std::time::Duration;

use proxy::core::attribution::{Blame, Rule};
use proxy::testing::Names;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::support::{Heard, Memory, parse, run_paused};
use super::timing::{addr, connect, millis, opening, secs, with_timeouts};

/// One upstream called `up.test`.
fn named(timeouts: Value) -> Value {
    let mut config = with_timeouts(&[], timeouts);
    config["upstream_proxies"] = json!([{ "url": "http://up.test:3128" }]);
    config
}

#[test]
fn addresses_of_a_name_are_tried_a_quarter_of_a_second_apart() {
    run_paused(async {
        let net = Memory::default();
        let six: SocketAddr = "[2001:db8::1]:3128".parse().unwrap();
        let other_six: SocketAddr = "[2001:db8::2]:3128".parse().unwrap();
        net.set_names(Names::Resolve(vec![six, other_six, addr(1), addr(2)]));
        net.black_hole(six);
        net.black_hole(other_six);
        net.serve(addr(1), millis(300), opening).await;
        net.serve(addr(2), secs(9), opening).await;
        let (_, _ear) = net.start(parse(&named(json!({})))).await;
        assert_eq!(connect(&mut net.client()).await, 200);
        // The families take turns, and the first to stand wins.
        assert_eq!(net.connects(), [(millis(0), six), (millis(250), addr(1)), (millis(500), other_six)]);
        assert_eq!(net.elapsed(), millis(550));
    });
}

#[test]
fn an_address_that_refuses_makes_way_at_once() {
    run_paused(async {
        let net = Memory::default();
        net.set_names(Names::Resolve(vec![addr(1), addr(2), addr(3)]));
        net.serve(addr(3), millis(20), opening).await;
        let (_, _ear) = net.start(parse(&named(json!({})))).await;
        assert_eq!(connect(&mut net.client()).await, 200);
        assert_eq!(net.connects(), [1, 2, 3].map(|last| (millis(0), addr(last))));
        assert_eq!(net.elapsed(), millis(20));
    });
}

#[test]
fn a_name_is_resolved_again_over_time_and_old_addresses_outlive_the_resolver() {
    run_paused(async {
        let net = Memory::default();
        net.set_names(Names::Resolve(vec![addr(1)]));
        for last in 1..=2 {
            net.serve(addr(last), Duration::ZERO, opening).await;
        }
        let (_, _ear) = net.start(parse(&named(json!({ "dns": "30s", "connect": "10s" })))).await;
        let reached = async || {
            assert_eq!(connect(&mut net.client()).await, 200);
            net.connects().last().unwrap().1
        };
        assert_eq!(reached().await, addr(1));
        net.set_names(Names::Resolve(vec![addr(2)]));
        sleep(secs(29)).await;
        assert_eq!(reached().await, addr(1));
        assert_eq!(net.lookups(), [secs(0)], "known is known");
        sleep(secs(1)).await;
        assert_eq!(reached().await, addr(2));
        for (down, patience) in [(Names::Fail, 0), (Names::Hang, 1_800)] {
            net.set_names(down);
            sleep(secs(31)).await;
            for patience in [patience, 0] {
                let before = net.elapsed();
                assert_eq!(reached().await, addr(2));
                assert_eq!(net.elapsed() - before, millis(patience), "only the first one waits");
            }
        }
        net.set_names(Names::Resolve(vec![addr(1)]));
        sleep(secs(31)).await;
        assert_eq!(reached().await, addr(1));
    });
}

#[test]
fn a_resolver_that_fails_or_hangs_is_not_the_upstreams_fault() {
    run_paused(async {
        for down in [Names::Fail, Names::Hang] {
            let net = Memory::default();
            net.set_names(down);
            let mut config = named(json!({}));
            config["health_check"] = json!({ "failure_threshold": 1 });
            let (_, ear) = net.start(parse(&config)).await;
            let mut client = net.client();
            client.send("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("error=dns_error;"), "{head}");
            let failed = ear.finished(1).await.failed_attempts;
            assert_eq!(failed.iter().map(|(_, word)| *word).collect::<Vec<_>>(), ["dns_error"]);
            let (blame, rule) = (Blame::Netdrift, Rule::Resolver);
            assert!(ear.heard().contains(&Heard::Blamed { upstream: 0, blame, rule }));
            assert!(!ear.heard().iter().any(|heard| matches!(heard, Heard::Ejected { .. })));
        }
    });
}
