//! Tests the times that our pages tell. The environment's wall clock stands at 01:46:40; the time since the start goes on.

use std::time::Duration;

use proxy::{Operator, Order};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Memory, parse, run_paused};
use crate::tunnels::timing::{addr, connect, millis, opening, secs, with_timeouts};

async fn page(net: &Memory, path: &str) -> Value {
    let mut client = net.client();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    serde_json::from_slice(&client.response().await.1).unwrap()
}

#[test]
fn a_request_is_told_with_the_time_at_which_it_began_and_what_it_took() {
    run_paused(async {
        let net = Memory::default();
        net.serve(addr(1), millis(100), opening).await;
        let (_, ear) = net.start(parse(&with_timeouts(&[addr(1)], json!({})))).await;
        sleep(secs(5)).await;
        let mut client = net.client();
        assert_eq!(connect(&mut client).await, 200);
        sleep(secs(2)).await;
        drop(client);
        let number = ear.finished(1).await.request;
        for told in [&page(&net, "/requests").await["requests"][0], &page(&net, &format!("/requests/{number}")).await] {
            assert_eq!(told["time"], "2001-09-09T01:46:45.000Z", "{told}");
            assert_eq!((&told["latency_ms"], &told["duration_ms"]), (&json!(100.0), &json!(2100.0)), "{told}");
        }
        assert_eq!(page(&net, "/stats").await["total"]["avg_latency_ms"], 100.0);
    });
}

#[test]
fn failures_and_ejections_are_told_with_the_time_at_which_they_came() {
    run_paused(async {
        let net = Memory::default();
        let mut config = with_timeouts(&[addr(1), addr(2)], json!({}));
        config["health_check"] = json!({ "backoff_base": "1h", "backoff_max": "1h" });
        net.serve(addr(2), Duration::ZERO, opening).await;
        let (proxy, _) = net.start(parse(&config)).await;
        sleep(secs(10)).await;
        for _ in 0..2 {
            assert_eq!(connect(&mut net.client()).await, 200);
        }
        sleep(secs(10)).await;
        let by = Operator { uid: 0, pid: None };
        proxy.steer(&format!("http://{}", addr(1)), Order::Eject, by).unwrap();
        sleep(secs(10)).await;
        let stats = page(&net, "/stats").await;
        let first = &stats["total"]["upstream_metrics"][0];
        assert_eq!(first["last_failure"]["at"], "2001-09-09T01:46:50Z");
        assert_eq!(first["ejected_at"], "2001-09-09T01:47:00Z");
        assert_eq!(stats["health_events"][0]["at"], "2001-09-09T01:47:00Z");
    });
}
