//! Tests the statistics: names, types, values after known traffic, and how they add up.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, mpsc};

use proxy::Proxy;
use proxy::core::time::Timestamp;
use proxy::env::os::Os;
use proxy::event::{Event, Observer};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::reports::metrics;
use crate::support::{Client, Double, Heard, Memory, TestProxy, WATCHDOG, config, parse, run, run_paused};
use crate::tunnels::timing::{joined, secs};

/// One that opens every tunnel but those to `bad.test`, and echoes.
async fn choosy() -> Double {
    Double::scripted(|_, mut peer| async move {
        let head = peer.head().await;
        if head.starts_with("CONNECT bad.test:") {
            peer.send("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        } else {
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            let word = peer.exactly(4).await;
            peer.send([word.as_slice(), b"!"].concat()).await;
            peer.finish().await;
        }
        let _ = peer.rest().await;
    })
    .await
}

/// Sends `ping` through a tunnel to its end.
async fn succeed(proxy: &TestProxy) {
    let mut tunnel = proxy.tunnel("good.test:80").await;
    tunnel.send("ping").await;
    assert_eq!(tunnel.exactly(5).await, b"ping!");
    tunnel.finish().await;
    assert_eq!(tunnel.rest().await.unwrap(), b"");
}

/// Sends `request` and sees it refused with `status`.
async fn fail(proxy: &TestProxy, request: &str, status: &str) {
    let mut client = proxy.client().await;
    client.send(request).await;
    let (head, _) = client.response().await;
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
}

const BAD: &str = "CONNECT bad.test:80 HTTP/1.1\r\nHost: bad.test:80\r\n\r\n";

fn sum(window: &Value, field: &str) -> u64 {
    window["upstream_metrics"].as_array().unwrap().iter().map(|one| one[field].as_u64().unwrap()).sum()
}

fn attempts(proxy: &TestProxy) -> usize {
    proxy.ear.heard().iter().filter(|one| matches!(one, Heard::Attempt { .. })).count()
}

#[test]
fn upstreams_that_differ_by_user_name_alone_are_told_apart_everywhere_and_over_reloads() {
    run(async {
        let upstream = choosy().await;
        let at = |user: &str| json!({ "url": format!("http://{user}:secret@{}", upstream.addr) });
        let mut json = config(&[]);
        json["upstream_proxies"] = json!([at("anna"), at("bert")]);
        let proxy = TestProxy::start(json.clone()).await;
        let named = |user: &str| format!("http://{user}@{}", upstream.addr);
        let shown = |stats: &Value| -> Vec<(String, String, u64)> {
            let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
            let all = stats["total"]["upstream_metrics"].as_array().unwrap().iter();
            all.map(|one| (text(one, "id"), text(one, "name"), one["total_requests"].as_u64().unwrap())).collect()
        };
        let mut served = std::collections::BTreeMap::<String, u64>::new();
        for number in 1..=3 {
            succeed(&proxy).await;
            let summary = proxy.ear.finished(number).await;
            let label = summary.upstream().unwrap();
            assert_eq!(*label.name, *named(if label.id.to_string() == "u0" { "anna" } else { "bert" }));
            *served.entry(label.id.to_string()).or_default() += 1;
        }
        assert_eq!(served.len(), 2);
        let before = shown(&proxy.stats().await);
        let (anna, bert) = (("u0".into(), named("anna"), served["u0"]), ("u1".into(), named("bert"), served["u1"]));
        assert_eq!(before, [anna.clone(), bert.clone()]);
        // Another order, and another upstream: each stays itself.
        json["upstream_proxies"] = json!([at("carl"), at("bert"), at("anna")]);
        proxy.proxy.reload(crate::support::parse(&json)).unwrap();
        let after = shown(&proxy.stats().await);
        assert_eq!(after, [("u2".into(), named("carl"), 0), bert, anna]);
        // Every failed attempt says through whom.
        fail(&proxy, BAD, "502").await;
        let summary = proxy.ear.finished(4).await;
        let ids: std::collections::BTreeSet<_> =
            summary.failed_attempts.iter().map(|one| one.attempt.upstream.id).collect();
        assert_eq!(ids.len(), 3, "{summary:?}");
    });
}

/// Bytes up and down since the start and of the last quarter of an hour, as the statistics say.
async fn bytes_shown(net: &Memory) -> [(u64, u64); 2] {
    let mut client = net.client();
    client.send("GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    let stats: Value = serde_json::from_slice(&client.response().await.1).unwrap();
    ["total", "recent_15m"].map(|window| {
        let upstream = &stats[window]["upstream_metrics"][0];
        (upstream["bytes_up"].as_u64().unwrap(), upstream["bytes_down"].as_u64().unwrap())
    })
}

#[test]
fn recent_bytes_are_of_the_last_quarter_of_an_hour_also_those_of_a_long_tunnel() {
    run_paused(async {
        let net = Memory::default();
        let (_ear, mut client, mut peer) = joined(&net, json!({ "idle_tunnel": "10h" })).await;
        client.send("up").await;
        assert_eq!(peer.exactly(2).await, b"up");
        sleep(secs(10 * 60)).await;
        peer.send("down").await;
        assert_eq!(client.exactly(4).await, b"down");
        // Nobody has asked so far, and the tunnel is still open.
        sleep(secs(6 * 60)).await;
        assert_eq!(bytes_shown(&net).await, [(2, 4), (0, 4)]);
        sleep(secs(10 * 60)).await;
        assert_eq!(bytes_shown(&net).await, [(2, 4), (0, 0)]);
    });
}

#[test]
fn known_traffic_adds_up() {
    run(async {
        let good = choosy().await;
        let dead = Double::refusing().await;
        let mut json = config(&[good.addr, dead]);
        json["health_check"] = json!({ "failure_threshold": 1000 });
        let proxy = TestProxy::start(json).await;
        // One after the other: each has ended before the next begins.
        for number in 1..=4 {
            succeed(&proxy).await;
            proxy.ear.finished(number).await;
        }
        for (number, (request, status)) in (5..).zip([
            (BAD, "502"),
            (BAD, "502"),
            ("GET nonsense HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET http://a.test/ HTTP/1.1\r\n\r\n", "400"),
        ]) {
            fail(&proxy, request, status).await;
            proxy.ear.finished(number).await;
        }
        let stats = proxy.stats().await;
        assert_eq!((&stats["rejected_requests"], &stats["current_requests"]), (&json!(3), &json!(0)));
        // What happened a moment ago happened within the last quarter of an hour as well, failures among it.
        for (window, name) in [(&stats["total"], "total"), (&stats["recent_15m"], "15m0s")] {
            assert_eq!(window["window"], name);
            let counts = ["total_requests", "success_requests", "failed_requests"].map(|name| window[name].clone());
            assert_eq!(counts, [json!(6), json!(4), json!(2)], "{name}");
            assert_eq!(sum(window, "success_requests"), 4, "{name}");
            assert_eq!(sum(window, "total_requests"), attempts(&proxy) as u64, "{name}");
            assert_eq!(sum(window, "failed_requests"), attempts(&proxy) as u64 - 4, "{name}");
            assert_eq!(window["max_concurrency"], 1, "{name}");
            assert!(window["avg_latency_ms"].as_f64().unwrap() > 0.0, "{name}");
            let [used, refusing] = &window["upstream_metrics"].as_array().unwrap()[..] else { panic!("{window}") };
            // Six first picks by turns, and the other one behind each that failed: 2 × bad and 2 × good on the dead one.
            assert_eq!((&used["success_requests"], &used["failed_requests"]), (&json!(4), &json!(2)), "{name}");
            assert_eq!(refusing["success_requests"], 0, "{name}");
            assert!(refusing["failed_requests"].as_u64().unwrap() >= 3, "{name}: {refusing}");
            assert!(used["latency_p50_ms"].as_f64().unwrap() > 0.0, "{name}");
            assert!(used["latency_p50_ms"].as_f64() <= used["latency_p90_ms"].as_f64(), "{name}");
            assert!(used["latency_p90_ms"].as_f64() <= used["latency_p99_ms"].as_f64(), "{name}");
            assert_eq!(
                (sum(window, "bytes_up"), sum(window, "bytes_down")),
                (16, 20),
                "{name}: four pings, and a mark"
            );
            assert_eq!((sum(window, "current_connections"), &used["healthy"]), (0, &json!(true)), "{name}");
        }
    });
}

#[test]
fn what_runs_is_told_while_it_runs() {
    run(async {
        let upstream = choosy().await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut open = [proxy.tunnel("a.test:80").await, proxy.tunnel("b.test:80").await];
        open[0].send("ping").await;
        // The end that is relayed comes behind the counting of what came before it; the tunnel stays half open.
        assert_eq!(open[0].rest().await.unwrap(), b"ping!");
        let stats = proxy.stats().await;
        assert_eq!((&stats["current_requests"], &stats["open_connections"]), (&json!(2), &json!(3)));
        let upstream = &stats["total"]["upstream_metrics"][0];
        assert_eq!(upstream["current_connections"], 2);
        assert_eq!((&upstream["bytes_up"], &upstream["bytes_down"]), (&json!(4), &json!(5)), "counted as they pass");
        assert_eq!(stats["total"]["max_concurrency"], 2);
        assert_eq!(stats["total"]["success_requests"], 2, "the verdict is known when the tunnel opens");
    });
}

#[test]
fn upstreams_are_told_as_configured_and_without_credentials() {
    run(async {
        let upstream = choosy().await;
        let mut json = config(&[upstream.addr]);
        json["server"]["name"] = json!("the pool");
        json["upstream_proxies"] = json!([
            { "url": format!("http://me:hunter2@{}", upstream.addr), "weight": 3, "tag": "us", "note": "first",
              "connect_headers": { "X-Key": "hunter3" } },
            { "url": "http://spare.test:81", "enabled": false, "weight": 2 },
        ]);
        let proxy = TestProxy::start(json).await;
        succeed(&proxy).await;
        let stats = proxy.stats().await;
        let text = stats.to_string();
        assert!(!text.contains("hunter") && !text.contains("me:") && !text.contains('@'), "{text}");
        assert_eq!(stats["name"], "the pool");
        assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
        let [first, spare] = &stats["total"]["upstream_metrics"].as_array().unwrap()[..] else { panic!("{stats}") };
        assert_eq!(first["url"], format!("http://{}", upstream.addr));
        assert_eq!((&first["tag"], &first["note"], &first["weight"]), (&json!("us"), &json!("first"), &json!(3)));
        assert_eq!((&spare["url"], &spare["enabled"]), (&json!("http://spare.test:81"), &json!(false)));
        assert_eq!((spare.get("tag"), &spare["total_requests"]), (None, &json!(0)));
    });
}

/// Its upstreams are written apart from the rest, and look as if they had not been.
#[test]
fn the_page_is_set_out_like_any_json() {
    run(async {
        let upstream = choosy().await;
        let mut json = config(&[upstream.addr, Double::refusing().await]);
        // What looks like a list in a name is none.
        json["server"]["name"] = json!("\"upstream_metrics\": []");
        json["upstream_proxies"][0]["note"] = json!("two\nlines");
        let proxy = TestProxy::start(json).await;
        succeed(&proxy).await;
        let mut client = proxy.client().await;
        client.send("GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let text = String::from_utf8(client.response().await.1).unwrap();
        let stats: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(stats["total"]["upstream_metrics"].as_array().unwrap().len(), 2);
        let lines = |text: &str| {
            // Fields stand in another order in `Value`.
            let mut lines: Vec<_> = text.lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&text), lines(&serde_json::to_string_pretty(&stats).unwrap()));
    });
}

#[test]
fn an_ejected_upstream_is_not_healthy() {
    run(async {
        let good = choosy().await;
        let dead: SocketAddr = Double::refusing().await;
        let mut json = config(&[dead, good.addr]);
        json["health_check"] = json!({ "failure_threshold": 2, "backoff_base": "1h", "backoff_max": "1h" });
        let proxy = TestProxy::start(json).await;
        succeed(&proxy).await;
        succeed(&proxy).await;
        let stats = proxy.stats().await;
        let upstream = &stats["total"]["upstream_metrics"][0];
        assert_eq!((&upstream["healthy"], &upstream["failures"]), (&json!(true), &json!(1)), "below the threshold");
        succeed(&proxy).await;
        let stats = proxy.stats().await;
        let [dead, good] = &stats["total"]["upstream_metrics"].as_array().unwrap()[..] else { panic!("{stats}") };
        assert_eq!((&dead["healthy"], &dead["failures"]), (&json!(false), &json!(2)));
        assert!(dead["probe_in_ms"].as_u64().unwrap() > 0);
        assert_eq!((&dead["probing"], &dead["failed_probes"]), (&json!(false), &json!(0)));
        assert_eq!((good.get("probing"), good.get("failed_probes")), (None, None));
        assert_eq!((&good["healthy"], &good["failures"], good.get("probe_in_ms")), (&json!(true), &json!(0), None));
    });
}

#[test]
fn the_statistics_tell_since_when_an_upstream_is_out_and_why_and_whose_fault_errors_were() {
    run(async {
        let (good, _) = Double::mock("a").await;
        let mut json = config(&[Double::refusing().await, good.addr]);
        json["health_check"] = json!({ "failure_threshold": 1, "backoff_base": "1h", "backoff_max": "1h" });
        let proxy = TestProxy::start(json).await;
        let before = proxy.stats().await;
        assert_eq!(before["health_events"], json!([]));
        assert_eq!(before["errors_by_blame"], json!({ "requests": {}, "attempts": {} }));
        let mut client = proxy.tunnel("echo.mock:80").await;
        client.finish().await;
        client.rest().await.unwrap();
        proxy.ear.wait(|heard| matches!(heard, Heard::Ejected { .. }).then_some(())).await;
        let (status, _, _) = metrics::ask(proxy.addr, "POST http://x/ HTTP/1.1\r\nHost: x\r\nContent-Length: x").await;
        assert_eq!(status, 400);
        proxy.ear.finished(2).await;
        let stats = proxy.stats().await;
        let [event] = &stats["health_events"].as_array().unwrap()[..] else { panic!("{stats}") };
        let upstreams = &stats["total"]["upstream_metrics"];
        for (field, value) in [
            ("event", json!("ejected")),
            ("id", upstreams[0]["id"].clone()),
            ("name", upstreams[0]["name"].clone()),
            ("cause", json!("Connection refused (os error 111)")),
            ("at", upstreams[0]["ejected_at"].clone()),
        ] {
            assert_eq!(event[field], value, "{field}");
        }
        humantime::parse_rfc3339(event["at"].as_str().unwrap()).unwrap();
        assert_eq!((&upstreams[0]["suspected"], upstreams[1].get("ejected_at")), (&json!(false), None::<&Value>));
        assert_eq!(stats["errors_by_blame"], json!({ "requests": { "client": 1 }, "attempts": { "upstream": 1 } }));
    });
}

#[test]
fn the_example_in_the_readme_is_what_comes() {
    run(async {
        let upstream = choosy().await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        succeed(&proxy).await;
        let stats = proxy.stats().await;
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
        let (_, section) = readme.split_once("## Statistics").unwrap();
        let (_, example) = section.split_once("```json").unwrap();
        let example: Value = serde_json::from_str(example.split_once("```").unwrap().0).unwrap();
        assert_same_shape(&example, &stats, "");
        humantime::parse_rfc3339(stats["start_time"].as_str().unwrap()).unwrap();
        assert!(stats["uptime"].as_str().unwrap().ends_with('s'));
        for name in ["url", "weight", "healthy", "failures", "current_connections", "bytes_up", "latency_p99_ms"] {
            assert!(!stats["recent_15m"]["upstream_metrics"][0][name].is_null(), "{name}");
        }
    });
}

/// Every field of the example is there, and of the same type.
fn assert_same_shape(example: &Value, real: &Value, at: &str) {
    let fields = example.as_object().unwrap();
    for (name, value) in fields {
        let at = format!("{at}.{name}");
        match (value, &real[name]) {
            (Value::Object(_), inner @ Value::Object(_)) => assert_same_shape(value, inner, &at),
            (Value::String(_), Value::String(_)) | (Value::Array(_), Value::Array(_)) => {}
            (Value::Number(one), Value::Number(other)) => assert_eq!(one.is_f64(), other.is_f64(), "{at}"),
            (_, other) => panic!("{at} is {other}"),
        }
    }
}

/// Puts a configuration in force in the middle of the page, which asks its observer for a figure. That takes the lock under
/// which requests are counted.
#[derive(Default)]
struct ReloadsInThePage {
    proxy: OnceLock<(Arc<Proxy<Os>>, Value)>,
}

impl Observer for ReloadsInThePage {
    fn on(&self, _: Timestamp, _: &Event<'_>) {}

    fn dropped(&self) -> u64 {
        let (proxy, config) = self.proxy.get().unwrap().clone();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || tell.send(proxy.reload(parse(&config)).unwrap().config_epoch));
        told.recv_timeout(WATCHDOG / 2).expect("the page is made while requests have to wait")
    }

    fn left_out(&self) -> u64 {
        5
    }
}

#[test]
fn no_request_waits_while_the_page_is_made() {
    run(async {
        let mut config = config(&["127.0.0.1:9".parse().unwrap()]);
        let observer = Arc::new(ReloadsInThePage::default());
        let proxy = Arc::new(Proxy::start(parse(&config), Os::new(), observer.clone()).await.unwrap());
        config["upstream_proxies"][0]["weight"] = json!(7);
        assert!(observer.proxy.set((Arc::clone(&proxy), config)).is_ok());
        let mut client = Client::connect(proxy.local_addr()).await;
        client.send("GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let stats: Value = serde_json::from_slice(&client.response().await.1).unwrap();
        assert_eq!(stats["log_lines_dropped"], 2, "the reload was done by then");
        assert_eq!(stats["log_lines_left_out"], 5);
        assert_eq!(stats["total"]["upstream_metrics"][0]["weight"], 1, "the page is of one moment all the same");
    });
}
