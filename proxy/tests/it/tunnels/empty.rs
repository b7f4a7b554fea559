//! Tests whose fault it is that a tunnel brings nothing: the upstream's, once another delivers from the same target.

use std::time::Duration;

use proxy::core::attribution::{Blame, Rule};
use serde_json::json;

use super::timing::{addr, with_timeouts};
use crate::support::{Ear, Heard, Memory, parse, run_paused};

/// Which upstreams were charged.
fn charged(ear: &Ear) -> Vec<u32> {
    let charged = |heard| match heard {
        Heard::Blamed { upstream, blame: Blame::Upstream, rule: Rule::DeliveredElsewhere } => Some(upstream),
        _ => None,
    };
    ear.heard().into_iter().filter_map(charged).collect()
}

#[test]
fn what_another_upstream_delivers_from_a_target_tells_nothing_of_others() {
    run_paused(async {
        let net = Memory::default();
        for (upstream, says) in [(addr(1), ""), (addr(2), "hello")] {
            net.serve(upstream, Duration::ZERO, move |mut peer| async move {
                peer.head().await;
                peer.send(format!("HTTP/1.1 200 OK\r\n\r\n{says}")).await;
            })
            .await;
        }
        let (_, ear) = net.start(parse(&with_timeouts(&[addr(1), addr(2)], json!({})))).await;
        // They are picked in turn.
        let mut requests = 0;
        for (delivered, expected) in [("b.test:443", false), ("a.test:443", true)] {
            for target in ["a.test:443", delivered] {
                let mut client = net.client();
                client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
                let _ = client.rest().await;
                client.finish().await;
                requests += 1;
                ear.finished(requests).await;
            }
            assert_eq!(charged(&ear).contains(&0), expected, "{delivered}");
        }
    });
}
