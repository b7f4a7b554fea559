//! Tests the pages of the last requests: what the story of one tells, who may read it, and that nobody's input does harm.

use std::time::Duration;

use proxy::env::Env;
use proxy::event::Summary;
use serde_json::{Value, json};

use crate::reports::metrics::ask;
use crate::support::{Double, Memory, TestProxy, config, parse, run, run_paused};

/// The page at `path`, as JSON.
async fn page(proxy: &TestProxy, path: &str) -> Value {
    let (status, _, body) = ask(proxy.addr, &format!("GET {path} HTTP/1.1\r\nHost: localhost")).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn status(proxy: &TestProxy, path: &str) -> u16 {
    ask(proxy.addr, &format!("GET {path} HTTP/1.1\r\nHost: localhost")).await.0
}

/// The numbers of the requests in a list.
fn numbers(list: &Value) -> Vec<u64> {
    list["requests"].as_array().unwrap().iter().map(|one| one["request"].as_u64().unwrap()).collect()
}

/// One that opens every tunnel but those to `bad.test`.
async fn choosy() -> Double {
    Double::scripted(|_, mut peer| async move {
        let head = peer.head().await;
        let status = if head.starts_with("CONNECT bad.test:") { "502 Bad Gateway" } else { "200 OK" };
        peer.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
        peer.finish().await;
        let _ = peer.rest().await;
    })
    .await
}

/// The `nth` request asks for `target`, and is over.
async fn finished(proxy: &TestProxy, nth: usize, target: &str) -> Summary {
    let mut client = proxy.asked(target).await;
    client.head().await;
    client.finish().await;
    proxy.ear.finished(nth).await
}

#[test]
fn the_last_requests_are_listed_as_the_log_has_them() {
    run(async {
        let mut json = config(&[choosy().await.addr]);
        json["limits"] = json!({ "remembered_requests": 2 });
        let proxy = TestProxy::start(json).await;
        let mut heard = Vec::new();
        for (nth, target) in (1..).zip(["bad.test:443", "a.test:443", "b.test:443", "c.test:443"]) {
            heard.push(finished(&proxy, nth, target).await);
        }
        let list = page(&proxy, "/requests").await;
        // Two of either kind.
        assert_eq!(numbers(&list), [heard[3].request, heard[2].request, heard[0].request]);
        assert_eq!(numbers(&page(&proxy, "/requests?failed").await), [heard[0].request]);
        let (told, summary) = (&list["requests"][2], &heard[0]);
        for (field, value) in [
            ("method", json!("CONNECT")),
            ("target", json!("bad.test:443")),
            ("client", json!(summary.client.to_string())),
            ("status", json!(summary.status)),
            ("outcome", json!(summary.outcome)),
            ("cause", json!(summary.cause.as_deref())),
            ("blame", json!(summary.blame.map(|blame| blame.as_str()))),
            ("name", json!(summary.upstream().map(|label| &*label.name))),
            ("attempt_count", json!(1)),
            ("config_epoch", json!(1)),
            ("latency_ms", json!(summary.latency.as_micros() as f64 / 1e3)),
        ] {
            assert_eq!(told[field], value, "{field}");
        }
        assert!(told["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{told}");
    });
}

#[test]
fn a_story_tells_who_was_picked_and_why_others_were_not() {
    run(async {
        let good = choosy().await;
        let (gone, absent) = (Double::refusing().await, Double::refusing().await);
        let mut json = config(&[]);
        json["upstream_proxies"] = json!([
            { "url": format!("http://{gone}"), "tag": "gone" },
            { "url": format!("http://{}", good.addr), "tag": "good" },
            { "url": format!("http://{absent}"), "tag": "resting", "weight": 0 },
            { "url": "http://127.0.0.1:9", "tag": "off", "enabled": false },
        ]);
        json["health_check"] = json!({ "failure_threshold": 1 });
        let proxy = TestProxy::start(json).await;
        let mut nth = 1;
        let failed_over = loop {
            let summary = finished(&proxy, nth, "a.test:443").await;
            nth += 1;
            if summary.attempts == 2 {
                break summary;
            }
            assert!(nth < 5, "the one that refuses was never picked");
        };
        let story = page(&proxy, &format!("/requests/{}", failed_over.request)).await;
        let [first, second] = &story["attempts"].as_array().unwrap()[..] else { panic!("{story}") };
        let excluded = |attempt: &Value| -> Vec<String> {
            let all = attempt["excluded"].as_array().unwrap().iter();
            all.map(|one| format!("{}: {}", one["name"].as_str().unwrap(), one["why"].as_str().unwrap())).collect()
        };
        assert_eq!((&first["name"], &first["tag"], &first["id"]), (&json!("gone"), &json!("gone"), &json!("u0")));
        assert!(first["ticket"].is_u64() && first["epoch"] == 0 && first["candidates"] == 2, "{first}");
        assert_eq!(excluded(first), ["resting: weight 0", "off: disabled"]);
        assert_eq!((&first["stage"], &first["failure"]), (&json!("tcp"), &json!("connect_refused")));
        assert_eq!(first["cause"], "Connection refused (os error 111)");
        assert_eq!((&first["blame"], &first["rule"]), (&json!("upstream"), &json!("unreachable")));
        assert_eq!(first["because"], "no TCP connection to it came about");
        assert!(first["tcp_ms"].is_f64() && first["reply_ms"].is_null(), "{first}");
        // That one failure has ejected it, and begun another epoch.
        assert_eq!((&second["name"], &second["ticket"], &second["epoch"]), (&json!("good"), &Value::Null, &json!(1)));
        assert_eq!(excluded(second), ["gone: ejected", "resting: weight 0", "off: disabled", "gone: tried already"]);
        assert!(second["failure"].is_null() && second["reply_ms"].is_f64(), "{second}");
        assert_eq!((&story["outcome"], &story["end"]), (&json!("ok"), &json!("closed")));
    });
}

/// What a request began with, whatever has come since.
#[test]
fn a_story_counts_the_excluded_upstreams_that_it_does_not_name() {
    run(async {
        let good = choosy().await;
        for (disabled, named, more) in [(2, 2, Value::Null), (34, 32, json!(2))] {
            let mut json = config(&[good.addr]);
            let upstreams = json["upstream_proxies"].as_array_mut().unwrap();
            let out = |number| json!({ "url": format!("http://10.0.0.{number}:3128"), "enabled": false });
            upstreams.extend((1..=disabled).map(out));
            let proxy = TestProxy::start(json).await;
            let number = finished(&proxy, 1, "a.test:443").await.request;
            let attempt = page(&proxy, &format!("/requests/{number}")).await["attempts"][0].take();
            assert_eq!((attempt["excluded"].as_array().unwrap().len(), &attempt["excluded_more"]), (named, &more));
        }
    });
}

#[test]
fn a_story_names_the_configuration_that_the_request_began_with() {
    run(async {
        let mut json = config(&[choosy().await.addr]);
        let proxy = TestProxy::start(json.clone()).await;
        let before = finished(&proxy, 1, "a.test:443").await;
        json["upstream_proxies"][0]["weight"] = 2.into();
        proxy.proxy.reload(crate::support::parse(&json)).unwrap();
        let after = finished(&proxy, 2, "a.test:443").await;
        for (summary, epoch) in [(before, 1), (after, 2)] {
            let story = page(&proxy, &format!("/requests/{}", summary.request)).await;
            assert_eq!(story["config_epoch"], epoch);
        }
    });
}

#[test]
fn a_request_for_a_story_that_is_none_is_refused() {
    run(async {
        let proxy = TestProxy::before(&[choosy().await.addr]).await;
        let request = finished(&proxy, 1, "a.test:443").await.request;
        assert_eq!(status(&proxy, &format!("/requests/{request}")).await, 200);
        let long = "7".repeat(10_000);
        for (path, expected) in [
            ("/requests/18446744073709551615", 404),
            ("/requests/18446744073709551616", 400),
            (&format!("/requests/{long}"), 400),
            ("/requests/", 400),
            ("/requests/x", 400),
            ("/requests/+1", 400),
            ("/requests/-1", 400),
            ("/requests/1/", 400),
            ("/requests/../stats", 400),
            ("/requests/%31", 400),
            ("/requests/1?failed", 400),
            ("/requests?", 400),
            ("/requests?failed=1", 400),
            ("/requests?all", 400),
            ("/requests?failed&failed", 400),
            ("/requestsx", 404),
        ] {
            let (code, head, body) = ask(proxy.addr, &format!("GET {path} HTTP/1.1\r\nHost: localhost")).await;
            assert_eq!(code, expected, "{path}: {body}");
            assert!(head.contains("text/plain") && body.len() < 100 && body.lines().count() == 1, "{path}: {body}");
        }
        let (code, head, _) = ask(proxy.addr, "POST /requests HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0").await;
        assert!(code == 405 && head.contains("Allow: GET, HEAD"), "{head}");
    });
}

#[test]
fn whoever_may_not_read_the_statistics_may_not_read_these_pages() {
    run(async {
        let mut json = config(&[choosy().await.addr]);
        json["authentication"] = json!({ "enabled": true, "users": [{ "username": "u", "password": "p" }] });
        let proxy = TestProxy::start(json).await;
        let asked = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: evil.test{fields}");
        for path in ["/requests", "/requests?failed", "/requests/1", "/requests/x"] {
            assert_eq!(ask(proxy.addr, &asked(path, "")).await.0, 401, "{path}");
            assert_eq!(ask(proxy.addr, &asked(path, "\r\nAuthorization: Basic dTpx")).await.0, 401, "{path}");
        }
        assert_eq!(ask(proxy.addr, &asked("/requests", "\r\nAuthorization: Basic dTpw")).await.0, 200);
    });
}

#[test]
fn nothing_is_remembered_where_nothing_is_to_be() {
    run(async {
        let mut json = config(&[choosy().await.addr]);
        json["limits"] = json!({ "remembered_requests": 0 });
        let proxy = TestProxy::start(json).await;
        let request = finished(&proxy, 1, "bad.test:443").await.request;
        assert_eq!(numbers(&page(&proxy, "/requests").await), [0; 0]);
        assert_eq!(status(&proxy, &format!("/requests/{request}")).await, 404);
    });
}

/// A machine may begin with another time than it gets by NTP, and a log tells the time that it is then.
#[test]
fn a_clock_that_was_set_tells_when_a_request_was_and_when_the_proxy_started() {
    run_paused(async {
        let net = Memory::default();
        net.refuse(([10, 0, 0, 1], 1).into());
        let mut json = config(&[([10, 0, 0, 1], 1).into()]);
        json["server"]["listen_address"] = json!("127.0.0.1:3130");
        let (_proxy, ear) = net.start(parse(&json)).await;
        net.set_clock_forward(Duration::from_secs(1_000_000));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut client = net.client();
        client.send("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").await;
        client.head().await;
        ear.finished(1).await;
        let before = |span: Duration| humantime::format_rfc3339_seconds(net.wall() - span).to_string();
        for (path, pointer, then) in [
            ("/requests", "/requests/0/time", before(Duration::ZERO)),
            ("/stats", "/total/upstream_metrics/0/last_failure/at", before(Duration::ZERO)),
            ("/stats", "/start_time", before(Duration::from_secs(60))),
        ] {
            let mut client = net.client();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
            let page: Value = serde_json::from_slice(&client.response().await.1).unwrap();
            let told = page.pointer(pointer).unwrap().as_str().unwrap();
            assert_eq!(told[..19], then[..19], "{path} {pointer}");
        }
    });
}
