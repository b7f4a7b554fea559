//! Tests the metrics: that they agree with the statistics and the log, who may read them and where, and that the documents
//! name them all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use proxy::event::metrics::ALL;
use serde_json::{Value, json};

use crate::support::{Client, Double, TestProxy, config, run};

/// Sends `request` on a connection of its own; the status, the head and the body of the answer.
pub(crate) async fn ask(addr: SocketAddr, request: &str) -> (u16, String, String) {
    let mut client = Client::connect(addr).await;
    client.send(format!("{request}\r\nConnection: close\r\n\r\n")).await;
    let (head, body) = client.response().await;
    (head[9..12].parse().unwrap(), head, String::from_utf8(body).unwrap())
}

async fn get(addr: SocketAddr, path: &str) -> (u16, String, String) {
    ask(addr, &format!("GET {path} HTTP/1.1\r\nHost: localhost")).await
}

/// The page of metrics.
pub(crate) async fn page(proxy: &TestProxy) -> String {
    get(proxy.addr, "/metrics").await.2
}

/// The sum of a metric's values, over those whose labels hold `with`.
pub(crate) fn sum(page: &str, metric: &str, with: &str) -> u64 {
    let of_metric = page.lines().filter(|line| {
        line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(with)
    });
    of_metric.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

/// One that opens every tunnel but those to `bad.test`, and one that refuses connections.
async fn two() -> (Double, SocketAddr) {
    let good = Double::scripted(|_, mut peer| async move {
        let head = peer.head().await;
        let status = if head.starts_with("CONNECT bad.test:") { "502 Bad Gateway" } else { "200 OK" };
        peer.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
        peer.finish().await;
        let _ = peer.rest().await;
    })
    .await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    (good, closed)
}

#[test]
fn metrics_statistics_and_log_agree_whatever_became_of_requests() {
    run(async {
        let (good, closed) = two().await;
        let mut json = config(&[good.addr, closed]);
        json["authentication"] = json!({ "enabled": true, "users": [{ "username": "u", "password": "p" }] });
        json["health_check"] = json!({ "failure_threshold": 100 });
        let proxy = TestProxy::start(json.clone()).await;
        let fields = "Proxy-Authorization: Basic dTpw";
        let mut requests = 0;
        for request in [
            format!("CONNECT good.test:80 HTTP/1.1\r\nHost: good.test:80\r\n{fields}"),
            format!("CONNECT bad.test:80 HTTP/1.1\r\nHost: bad.test:80\r\n{fields}"),
            format!("GET http://good.test/ HTTP/1.1\r\nHost: good.test\r\n{fields}"),
            "GET http://good.test/ HTTP/1.1\r\nHost: good.test".to_owned(),
            format!("GET http://{}/ HTTP/1.1\r\nHost: {}\r\n{fields}", proxy.addr, proxy.addr),
            "BAD".to_owned(),
        ] {
            for _ in 0..4 {
                let mut client = proxy.client().await;
                client.send(format!("{request}\r\n\r\n")).await;
                client.finish().await;
                let _ = client.rest().await;
                requests += 1;
                proxy.ear.finished(requests).await;
            }
        }
        // Every attempt is over: its own end comes before the request's.
        let mut logged = BTreeMap::<(&str, &str), u64>::new();
        let mut attempts = 0;
        for number in 1..=requests {
            let summary = proxy.ear.finished(number).await;
            attempts += u64::from(summary.attempts);
            *logged.entry((summary.outcome, summary.blame.map_or("", |blame| blame.as_str()))).or_default() += 1;
        }
        assert!(logged.len() >= 5, "{logged:?}");
        let (_, _, page) = get(proxy.addr, "/metrics").await;
        for ((outcome, blame), count) in &logged {
            let with = format!("{{outcome=\"{outcome}\",blame=\"{blame}\"}}");
            assert_eq!(sum(&page, "netdrift_requests_total", &with), *count, "{with}\n{page}");
        }
        assert_eq!(sum(&page, "netdrift_requests_total", ""), requests as u64);
        assert_eq!(sum(&page, "netdrift_upstream_attempts_total", ""), attempts);

        let stats = proxy.stats().await;
        let total = |field: &str| stats["total"][field].as_u64().unwrap();
        let rejected = stats["rejected_requests"].as_u64().unwrap();
        assert_eq!(total("total_requests") + rejected, requests as u64);
        assert_eq!(sum(&page, "netdrift_request_seconds_count", ""), total("total_requests"));
        for upstream in stats["total"]["upstream_metrics"].as_array().unwrap() {
            let name = format!("upstream=\"{}\"", upstream["name"].as_str().unwrap());
            let shown = |field: &str| upstream[field].as_u64().unwrap();
            let ok = |line: &&str| line.contains(&name) && line.contains("result=\"ok\"");
            let ok: Vec<&str> = page.lines().filter(ok).collect();
            assert_eq!(sum(&page, "netdrift_upstream_attempts_total", &name), shown("total_requests"), "{name}");
            assert_eq!(sum(&ok.join("\n"), "netdrift_upstream_attempts_total", &name), shown("success_requests"));
            assert_eq!(sum(&page, "netdrift_upstream_attempt_seconds_count", &name), shown("total_requests"));
        }
        assert!(sum(&page, "netdrift_failovers_total", "") > 0, "{page}");
        assert!(sum(&page, "netdrift_upstream_blamed_attempts_total", "blame=\"upstream\"") > 0, "{page}");
        assert!(sum(&page, "process_open_fds", "") > 3, "{page}");

        // A reload is counted; an upstream that has left is no series any more.
        json["upstream_proxies"] = json!([{ "url": format!("http://{}", good.addr) }]);
        proxy.proxy.reload(crate::support::parse(&json)).unwrap();
        let (_, _, page) = get(proxy.addr, "/metrics").await;
        assert_eq!(sum(&page, "netdrift_reloads_total", "ok"), 1);
        assert_eq!(sum(&page, "netdrift_config_epoch", ""), 2);
        assert!(!page.contains(&closed.to_string()), "{page}");
    });
}

#[test]
fn how_far_picks_are_from_the_weights_stands_beside_its_bound() {
    run(async {
        let (one, _) = two().await;
        let (other, _) = two().await;
        let mut json = config(&[one.addr, other.addr]);
        json["upstream_proxies"][0]["weight"] = json!(3);
        let proxy = TestProxy::start(json).await;
        let lag = |page: &str, upstream: SocketAddr| -> f64 {
            let begin = format!("netdrift_upstream_schedule_lag{{upstream=\"http://{upstream}\"}} ");
            page.lines().find_map(|line| line.strip_prefix(&begin)).unwrap().parse().unwrap()
        };
        // Their turns: one, one, one, other.
        for (picks, expected) in [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75), (4, 0.0), (5, 0.25)] {
            let page = page(&proxy).await;
            assert_eq!((lag(&page, one.addr), lag(&page, other.addr)), (expected, -expected), "after {picks} picks");
            assert_eq!(sum(&page, "netdrift_schedule_lag_bound", ""), 1);
            let mut client = proxy.client().await;
            client.send("CONNECT good.test:80 HTTP/1.1\r\nHost: good.test:80\r\n\r\n").await;
            client.head().await;
        }
        let name = format!("http://{}", one.addr);
        proxy.proxy.steer(&name, proxy::Order::Eject, proxy::Operator { uid: 0, pid: None }).unwrap();
        let page = page(&proxy).await;
        assert_eq!((lag(&page, one.addr), lag(&page, other.addr)), (0.0, 0.0), "another epoch begins");
        assert_eq!(sum(&page, "netdrift_schedule_lag_bound", ""), 2);
    });
}

#[test]
fn the_format_is_the_one_that_is_asked_for() {
    run(async {
        let proxy = TestProxy::before(&[([127, 0, 0, 1], 9).into()]).await;
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost";
        let (status, head, page) = ask(proxy.addr, request).await;
        assert_eq!(status, 200);
        assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        assert!(!page.contains("# EOF"), "{page}");
        let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3";
        let (_, head, page) = ask(proxy.addr, &format!("{request}\r\n{accept}")).await;
        assert!(
            head.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
            "{head}"
        );
        assert!(page.ends_with("# EOF\n"), "{page}");
    });
}

/// A proxy whose own pages have a listener of their own.
pub(crate) async fn with_admin(change: impl FnOnce(&mut Value)) -> (TestProxy, SocketAddr) {
    let mut json = config(&[([127, 0, 0, 1], 9).into()]);
    json["admin"] = json!({ "listen_address": "127.0.0.1:0" });
    change(&mut json);
    let proxy = TestProxy::start(json).await;
    let admin = proxy.proxy.admin_addr().unwrap();
    (proxy, admin)
}

const PAGES: [&str; 5] = ["/healthz", "/readyz", "/stats", "/metrics", "/requests"];

#[test]
fn the_admin_listener_has_the_pages_and_nothing_else() {
    run(async {
        let (proxy, admin) = with_admin(|_| {}).await;
        for path in PAGES {
            assert_eq!(get(admin, path).await.0, 200, "{path}");
            assert_eq!(get(proxy.addr, path).await.0, 404, "{path}: clients reach it");
        }
        assert_eq!(get(admin, "/").await.0, 404);
        for request in [
            "CONNECT good.test:80 HTTP/1.1\r\nHost: good.test:80",
            "GET http://good.test/ HTTP/1.1\r\nHost: good.test",
            &format!("GET http://{}/ HTTP/1.1\r\nHost: {}", proxy.addr, proxy.addr),
        ] {
            let (status, _, body) = ask(admin, request).await;
            assert_eq!((status, body.contains("own pages alone")), (403, true), "{request}: {body}");
        }
        let outcomes: Vec<_> = [proxy.ear.finished(1).await, proxy.ear.finished(2).await, proxy.ear.finished(3).await]
            .iter()
            .map(|summary| summary.outcome)
            .collect();
        assert_eq!(outcomes, ["pages_only"; 3], "they are counted and logged");
    });
}

#[test]
fn the_admin_listener_is_not_reached_through_the_proxy() {
    run(async {
        // Who asks there from this machine needs no credentials, and an upstream on this machine asks for any client.
        let (proxy, admin) = with_admin(|_| {}).await;
        let port = admin.port();
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            for request in [
                format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}"),
                format!("GET http://{host}:{port}/stats HTTP/1.1\r\nHost: {host}:{port}"),
            ] {
                let (status, _, body) = ask(proxy.addr, &request).await;
                assert_eq!((status, body.contains("through itself")), (403, true), "{request}: {body}");
            }
        }
    });
}

#[test]
fn the_admin_listener_asks_foreigners_for_credentials_unless_it_is_open_to_all() {
    run(async {
        let users = |json: &mut Value| {
            json["authentication"] = json!({ "enabled": true, "users": [{ "username": "u", "password": "p" }] });
        };
        let foreign = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: evil.test");
        let (proxy, admin) = with_admin(users).await;
        for path in ["/stats", "/metrics"] {
            assert_eq!(ask(admin, &foreign(path)).await.0, 401, "{path}");
            assert_eq!(ask(admin, &(foreign(path) + "\r\nAuthorization: Basic dTpw")).await.0, 200, "{path}");
            assert_eq!(ask(admin, &(foreign(path) + "\r\nAuthorization: Basic dTpx")).await.0, 401, "{path}");
        }
        for (number, outcome) in (1..).zip(["no_credentials", "wrong_credentials"].repeat(2)) {
            assert_eq!(proxy.ear.finished(number).await.outcome, outcome, "who is refused is logged and counted");
        }
        let (_proxy, admin) = with_admin(|_| {}).await;
        assert_eq!(ask(admin, &foreign("/metrics")).await.0, 403);
        let (_proxy, admin) = with_admin(|json| {
            users(json);
            json["admin"]["open_to_all"] = true.into();
            json["stats"] = json!({ "require_auth": true });
        })
        .await;
        for path in PAGES {
            assert_eq!(ask(admin, &foreign(path)).await.0, 200, "{path}");
        }
    });
}

#[test]
fn a_proxy_that_drains_says_so_on_its_admin_listener_and_closes_that_too() {
    run(async {
        let (proxy, admin) = with_admin(|json| json["server"]["drain_delay"] = "2s".into()).await;
        let draining = tokio::spawn(async move { proxy.proxy.drain().await });
        let mut status = 200;
        while status == 200 {
            let mut client = Client::connect(admin).await;
            client.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
            status = client.response().await.0[9..12].parse().unwrap();
        }
        assert_eq!(status, 503);
        assert_eq!(draining.await.unwrap(), 0);
        assert!(tokio::net::TcpStream::connect(admin).await.is_err(), "it still listens");
    });
}

/// The table of the metrics, as deploy/METRICS.md has it.
#[test]
fn the_document_names_every_metric() {
    let row = |metric: &proxy::event::metrics::Metric| {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind) = (metric.full_name(), metric.kind.as_str());
        format!("| `{name}` | {kind} | {} | {} |\n", labels.join(", "), metric.help.trim())
    };
    let table: String = ALL.iter().map(row).collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/METRICS.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(&format!("|---|---|---|---|\n{table}")), "the table must be:\n{table}");
}

/// A misspelt name would show nothing and wake nobody.
#[test]
fn alerts_and_dashboard_ask_for_metrics_that_exist() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let known = |name: &str| {
        ALL.iter().any(|metric| {
            let rest = name.strip_prefix(&metric.full_name());
            rest == Some("") || rest == Some("_bucket") && metric.kind == proxy::event::metrics::Kind::Histogram
        })
    };
    for file in ["prometheus/alerts.yaml", "prometheus/alerts_test.yaml", "grafana/netdrift.json"] {
        let text = std::fs::read_to_string(deploy.join(file)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let asked: Vec<&str> =
            words.filter(|word| word.starts_with("netdrift_") || word.starts_with("process_")).collect();
        assert!(asked.len() > 8, "{file}");
        for name in asked {
            assert!(known(name), "{file} asks for {name}");
        }
    }
}
