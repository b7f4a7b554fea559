//! From an upstream's name to a connection: addresses raced, names resolved again, resolvers that fail.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::support::{Memory, Names, parse, run_paused};
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
        let world = Memory::new();
        let six: SocketAddr = "[2001:db8::1]:3128".parse().unwrap();
        let other_six: SocketAddr = "[2001:db8::2]:3128".parse().unwrap();
        world.names(Names::Are(vec![six, other_six, addr(1), addr(2)]));
        world.vanish(six);
        world.vanish(other_six);
        world.serve(addr(1), millis(300), opening);
        world.serve(addr(2), secs(9), opening);
        let (_, _ear) = world.start(parse(&named(json!({})))).await;
        assert_eq!(connect(&mut world.client()).await, 200);
        // The families take turns, and the first to stand wins.
        assert_eq!(world.dialled(), [(millis(0), six), (millis(250), addr(1)), (millis(500), other_six)]);
        assert_eq!(world.now(), millis(550));
    });
}

#[test]
fn an_address_that_refuses_makes_way_at_once() {
    run_paused(async {
        let world = Memory::new();
        world.names(Names::Are(vec![addr(1), addr(2), addr(3)]));
        world.serve(addr(3), millis(20), opening);
        let (_, _ear) = world.start(parse(&named(json!({})))).await;
        assert_eq!(connect(&mut world.client()).await, 200);
        assert_eq!(world.dialled(), [1, 2, 3].map(|last| (millis(0), addr(last))));
        assert_eq!(world.now(), millis(20));
    });
}

#[test]
fn a_name_is_resolved_again_over_time_and_old_addresses_outlive_the_resolver() {
    run_paused(async {
        let world = Memory::new();
        world.names(Names::Are(vec![addr(1)]));
        for last in 1..=2 {
            world.serve(addr(last), Duration::ZERO, opening);
        }
        let (_, _ear) = world.start(parse(&named(json!({ "dns": "30s", "connect": "10s" })))).await;
        let reached = async || {
            assert_eq!(connect(&mut world.client()).await, 200);
            world.dialled().last().unwrap().1
        };
        assert_eq!(reached().await, addr(1));
        world.names(Names::Are(vec![addr(2)]));
        sleep(secs(29)).await;
        assert_eq!(reached().await, addr(1));
        assert_eq!(world.resolved(), [secs(0)], "known is known");
        sleep(secs(1)).await;
        assert_eq!(reached().await, addr(2));
        for (down, patience) in [(Names::Fail, 0), (Names::Hang, 1_800)] {
            world.names(down);
            sleep(secs(31)).await;
            for patience in [patience, 0] {
                let before = world.now();
                assert_eq!(reached().await, addr(2));
                assert_eq!(world.now() - before, millis(patience), "only the first one waits");
            }
        }
        world.names(Names::Are(vec![addr(1)]));
        sleep(secs(31)).await;
        assert_eq!(reached().await, addr(1));
    });
}

#[test]
fn a_name_that_nobody_knows_is_the_upstreams_fault() {
    run_paused(async {
        let world = Memory::new();
        let (_, ear) = world.start(parse(&named(json!({})))).await;
        assert_eq!(connect(&mut world.client()).await, 502);
        let failed = ear.finished(1).await.failed_attempts;
        assert_eq!(failed.iter().map(|(_, word)| *word).collect::<Vec<_>>(), ["connect_failed"]);
    });
}
