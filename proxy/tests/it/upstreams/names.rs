//! Tests the way from an upstream's name to a connection: addresses raced, names resolved again, resolvers that fail.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use proxy::core::attribution::{Blame, Rule};
use proxy::testing::Names;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Heard, Memory, parse, run_paused};
use crate::tunnels::timing::{addr, connect, millis, opening, secs, with_timeouts};

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
fn an_address_that_refuses_makes_way_at_once_while_another_is_silent() {
    run_paused(async {
        let net = Memory::default();
        net.set_names(Names::Resolve(vec![addr(1), addr(2), addr(3)]));
        net.black_hole(addr(1));
        net.serve(addr(3), millis(20), opening).await;
        let (_, _ear) = net.start(parse(&named(json!({})))).await;
        assert_eq!(connect(&mut net.client()).await, 200);
        assert_eq!(net.connects(), [(millis(0), addr(1)), (millis(250), addr(2)), (millis(250), addr(3))]);
        assert_eq!(net.elapsed(), millis(270));
    });
}

#[test]
fn a_name_whose_addresses_all_refuse_fails_without_waiting() {
    run_paused(async {
        let net = Memory::default();
        net.set_names(Names::Resolve(vec![addr(1), addr(2)]));
        let (_, ear) = net.start(parse(&named(json!({})))).await;
        assert_eq!(connect(&mut net.client()).await, 502);
        assert_eq!(net.elapsed(), millis(0));
        assert_eq!(ear.finished(1).await.failed_attempts[0].failure, "connect_refused");
    });
}

#[test]
fn a_name_is_resolved_again_over_time_and_no_request_waits_for_that() {
    run_paused(async {
        let net = Memory::default();
        net.set_names(Names::Resolve(vec![addr(1)]));
        for last in 1..=2 {
            net.serve(addr(last), Duration::ZERO, opening).await;
        }
        let (_, _ear) = net.start(parse(&named(json!({ "dns": "30s", "connect": "10s" })))).await;
        let reached = async || {
            let before = net.elapsed();
            assert_eq!(connect(&mut net.client()).await, 200);
            assert_eq!(net.elapsed(), before, "nothing is waited for");
            net.connects().last().unwrap().1
        };
        assert_eq!(reached().await, addr(1));
        net.set_names(Names::Resolve(vec![addr(2)]));
        sleep(secs(29)).await;
        assert_eq!(reached().await, addr(1));
        assert_eq!(net.lookups(), [secs(0)], "known is known");
        sleep(secs(1)).await;
        assert_eq!(reached().await, addr(1), "the old answer serves while a task asks");
        assert_eq!(reached().await, addr(2));
        for down in [Names::Fail, Names::Hang] {
            net.set_names(down);
            sleep(secs(31)).await;
            for _ in 0..3 {
                assert_eq!(reached().await, addr(2), "old addresses outlive the resolver");
            }
        }
        net.set_names(Names::Resolve(vec![addr(1)]));
        sleep(secs(31)).await;
        reached().await;
        assert_eq!(reached().await, addr(1), "a lookup that hangs is given up on");
    });
}

#[test]
fn clients_without_number_and_upstreams_of_one_host_make_one_lookup() {
    run_paused(async {
        let net = Memory::default();
        net.set_names(Names::Hang);
        let mut config = named(json!({ "connect": "5s", "request": "60s" }));
        let upstreams: Vec<Value> = (0..3).map(|n| json!({ "url": format!("http://u{n}@up.test:3128") })).collect();
        config["upstream_proxies"] = json!(upstreams);
        let (_, _ear) = net.start(parse(&config)).await;
        let mut clients: Vec<_> = (0..50).map(|_| net.client()).collect();
        for client in &mut clients {
            client.send("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await;
        }
        for client in &mut clients {
            assert!(client.head().await.starts_with("HTTP/1.1 504 "));
        }
        assert_eq!(net.lookups(), [secs(0)]);
    });
}

#[test]
fn a_name_that_could_not_be_resolved_is_left_alone_for_a_second() {
    run_paused(async {
        let net = Memory::default();
        let mut config = named(json!({}));
        config["health_check"] = json!({ "failure_threshold": 100 });
        let (_, _ear) = net.start(parse(&config)).await;
        for _ in 0..21 {
            assert_eq!(connect(&mut net.client()).await, 502);
            sleep(millis(100)).await;
        }
        assert_eq!(net.lookups(), [0, 1, 2].map(secs));
        net.set_names(Names::Resolve(vec![addr(1)]));
        net.serve(addr(1), Duration::ZERO, opening).await;
        sleep(secs(1)).await;
        assert_eq!(connect(&mut net.client()).await, 200);
    });
}

#[test]
fn a_request_whose_addresses_all_refuse_tries_those_of_a_new_lookup() {
    run_paused(async {
        let net = Memory::default();
        net.set_names(Names::Resolve(vec![addr(1)]));
        net.serve(addr(1), Duration::ZERO, opening).await;
        let (_, _ear) = net.start(parse(&named(json!({ "dns": "1h" })))).await;
        assert_eq!(connect(&mut net.client()).await, 200);
        // It moves.
        net.refuse(addr(1));
        net.set_names(Names::Resolve(vec![addr(2)]));
        net.serve(addr(2), Duration::ZERO, opening).await;
        sleep(secs(5)).await;
        assert_eq!(connect(&mut net.client()).await, 200);
        assert_eq!(net.elapsed(), secs(5), "nothing is waited for but the lookup");
        assert_eq!(net.connects()[1..], [(secs(5), addr(1)), (secs(5), addr(2))]);
        assert_eq!(net.lookups(), [0, 5].map(secs));
        // Where it stays, it is asked for once a second, and nothing is tried twice.
        net.refuse(addr(2));
        sleep(secs(5)).await;
        for _ in 0..11 {
            assert_eq!(connect(&mut net.client()).await, 502);
            sleep(millis(100)).await;
        }
        assert_eq!(net.lookups(), [0, 5, 10, 11].map(secs));
        assert_eq!(net.connects().len(), 3 + 11);
    });
}

#[test]
fn a_new_lookup_that_hangs_delays_the_next_attempt_by_a_moment() {
    run_paused(async {
        let net = Memory::default();
        net.set_names(Names::Resolve(vec![addr(1)]));
        net.serve(addr(1), Duration::ZERO, opening).await;
        net.serve(addr(9), Duration::ZERO, opening).await;
        let mut config = named(json!({ "dns": "1h" }));
        config["upstream_proxies"] =
            json!([{ "url": "http://up.test:3128" }, { "url": format!("http://{}", addr(9)) }]);
        let (_, _ear) = net.start(parse(&config)).await;
        assert_eq!(connect(&mut net.client()).await, 200);
        assert_eq!(connect(&mut net.client()).await, 200);
        net.refuse(addr(1));
        net.set_names(Names::Hang);
        sleep(secs(5)).await;
        assert_eq!(connect(&mut net.client()).await, 200);
        assert_eq!(net.connects()[2..], [(secs(5), addr(1)), (millis(5250), addr(9))]);
    });
}

/// One lookup for each name, whoever waits for it; nobody else waits at all.
#[test]
fn hundreds_of_clients_before_a_resolver_that_hangs_hold_nobody_up() {
    run_paused(async {
        let net = Memory::default();
        net.set_names(Names::Hang);
        let mut config = with_timeouts(&[], json!({ "connect": "10s", "request": "30s" }));
        let names: Vec<Value> = (0..20).map(|n| json!({ "url": format!("http://up{n}.test:3128") })).collect();
        config["upstream_proxies"] = json!(names);
        let (proxy, _ear) = net.start(parse(&config)).await;
        let request = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n";
        let mut clients: Vec<_> = (0..700).map(|_| net.client()).collect();
        for client in &mut clients {
            client.send(request).await;
        }
        sleep(secs(5)).await;
        assert_eq!(net.lookups(), [secs(0); 20]);
        // A reload is taken over, and a login checked, as if nothing were.
        config["upstream_proxies"].as_array_mut().unwrap().push(json!({ "url": format!("http://{}", addr(1)) }));
        config["upstream_proxies"][0]["weight"] = json!(0);
        config["authentication"] = json!({ "enabled": true, "users": [{ "username": "u", "password": "p" }] });
        proxy.reload(parse(&config)).unwrap();
        assert_eq!(connect(&mut net.client()).await, 407);
        assert_eq!(net.elapsed(), secs(5));
        for client in &mut clients {
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 504 ") || head.starts_with("HTTP/1.1 200 "), "{head}");
        }
        // Those that their time was over for may ask again; one lookup of a name is under way at a time all the same.
        assert_eq!(net.lookups(), [secs(0); 20]);
    });
}

#[test]
fn a_dead_first_address_costs_time_once() {
    run_paused(async {
        let net = Memory::default();
        net.set_names(Names::Resolve(vec![addr(1), addr(2)]));
        net.black_hole(addr(1));
        net.serve(addr(2), Duration::ZERO, opening).await;
        let (_, _ear) = net.start(parse(&named(json!({ "dns": "10s" })))).await;
        for _ in 0..3 {
            assert_eq!(connect(&mut net.client()).await, 200);
            // Across lookups too.
            sleep(secs(11)).await;
        }
        assert_eq!(net.elapsed(), millis(250) + secs(33));
        // Until it is the other that is dead.
        net.black_hole(addr(2));
        net.serve(addr(1), Duration::ZERO, opening).await;
        for _ in 0..3 {
            assert_eq!(connect(&mut net.client()).await, 200);
        }
        assert_eq!(net.elapsed(), millis(500) + secs(33));
    });
}

#[test]
fn a_resolver_that_fails_or_hangs_is_not_the_upstreams_fault() {
    run_paused(async {
        for (down, status, word) in [(Names::Fail, 502, "dns_error"), (Names::Hang, 504, "dns_timeout")] {
            let net = Memory::default();
            net.set_names(down);
            let mut config = named(json!({}));
            config["health_check"] = json!({ "failure_threshold": 1 });
            let (_, ear) = net.start(parse(&config)).await;
            let mut client = net.client();
            client.send("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").await;
            let head = client.head().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(head.contains(&format!("error={word};")), "{head}");
            let failed = ear.finished(1).await.failed_attempts;
            assert_eq!(failed.iter().map(|one| one.failure).collect::<Vec<_>>(), [word]);
            let (blame, rule) = (Blame::Netdrift, Rule::Resolver);
            assert!(ear.heard().contains(&Heard::Blamed { upstream: 0, blame, rule }));
            assert!(!ear.heard().iter().any(|heard| matches!(heard, Heard::Ejected { .. })));
        }
    });
}

#[test]
fn an_address_that_our_own_lack_left_untried_clears_the_upstream_of_what_the_others_did() {
    run_paused(async {
        for silent in [false, true] {
            let net = Memory::default();
            net.set_names(Names::Resolve(vec![addr(1), addr(2), addr(3)]));
            net.fail(addr(1), ErrorKind::OutOfMemory);
            net.refuse(addr(2));
            // The attempt then ends with its time.
            if silent {
                net.black_hole(addr(3));
            }
            let mut config = named(json!({}));
            config["health_check"] = json!({ "failure_threshold": 1 });
            let (_, ear) = net.start(parse(&config)).await;
            assert_eq!(connect(&mut net.client()).await, 503);
            let (blame, rule) = (Blame::Netdrift, Rule::OwnResources);
            assert!(ear.heard().contains(&Heard::Blamed { upstream: 0, blame, rule }));
            assert!(!ear.heard().iter().any(|heard| matches!(heard, Heard::Ejected { .. })));
        }
    });
}
