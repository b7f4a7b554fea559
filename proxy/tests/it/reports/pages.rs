//! Tests our own pages: who may read what, by which method, under which path, and never through a proxied request.

use serde_json::{Value, json};

use crate::support::{Client, Double, Heard, TestProxy, config, run};

/// Sends a request for `path` with these `fields`.
async fn ask(client: &mut Client, method: &str, path: &str, fields: &str) {
    client.send(format!("{method} {path} HTTP/1.1\r\n{fields}\r\n")).await;
}

/// The status, the head and the body of the answer on a connection of its own.
async fn answer(proxy: &TestProxy, method: &str, path: &str, fields: &str) -> (u16, String, String) {
    let mut client = proxy.client().await;
    ask(&mut client, method, path, fields).await;
    let (head, body) = client.response().await;
    (head[9..12].parse().unwrap(), head, String::from_utf8(body).unwrap())
}

async fn status(proxy: &TestProxy, path: &str, fields: &str) -> u16 {
    answer(proxy, "GET", path, fields).await.0
}

const LOCAL: &str = "Host: localhost\r\n";

/// One with a user `u` whose password is `p`, changed by `change`.
async fn with_user(change: impl FnOnce(&mut Value)) -> TestProxy {
    let mut json = config(&[([127, 0, 0, 1], 9).into()]);
    json["authentication"] =
        json!({ "enabled": true, "users": [{ "username": "u", "password": "p" }], "realm": "here" });
    change(&mut json);
    TestProxy::start(json).await
}

/// `u:p` and `u:q`, in Basic's spelling.
const RIGHT: &str = "Basic dTpw";
const WRONG: &str = "Basic dTpx";

#[test]
fn loopback_clients_read_freely_under_a_loopback_host_only() {
    run(async {
        let proxy = with_user(|json| json["server"]["stats_hosts"] = json!(["stats.test", "192.0.2.7"])).await;
        for host in [
            "localhost",
            "localhost:3130",
            "LOCALHOST",
            "127.0.0.1",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]",
            "[::1]:3130",
            "stats.test",
            "STATS.test:80",
            "192.0.2.7",
        ] {
            assert_eq!(status(&proxy, "/stats", &format!("Host: {host}\r\n")).await, 200, "{host}");
        }
        // A name that a foreign page had resolve to this machine; addresses of others; tricks.
        for host in [
            "evil.test",
            "localhost.evil.test",
            "evil.test:3130",
            "192.0.2.8",
            "0.0.0.0",
            "[::]",
            "127.0.0.1.evil.test",
            "xstats.test",
            "",
        ] {
            let code = status(&proxy, "/stats", &format!("Host: {host}\r\n")).await;
            assert!(matches!(code, 400 | 401), "{host}: {code}");
        }
        // With credentials it does not matter.
        let fields = format!("Host: evil.test\r\nAuthorization: {RIGHT}\r\n");
        assert_eq!(status(&proxy, "/stats", &fields).await, 200);
    });
}

#[test]
fn without_users_a_foreign_host_is_forbidden() {
    run(async {
        let proxy = TestProxy::before(&[([127, 0, 0, 1], 9).into()]).await;
        assert_eq!(status(&proxy, "/stats", LOCAL).await, 200);
        let (code, head, _) = answer(&proxy, "GET", "/stats", "Host: evil.test\r\n").await;
        assert_eq!(code, 403);
        assert!(!head.contains("WWW-Authenticate"), "nobody could answer it: {head}");
    });
}

#[test]
fn credentials_are_asked_for_where_configured() {
    run(async {
        let proxy = with_user(|json| json["stats"] = json!({ "require_auth": true })).await;
        let (code, head, body) = answer(&proxy, "GET", "/stats", LOCAL).await;
        assert_eq!(code, 401);
        assert!(head.contains("\r\nWWW-Authenticate: Basic realm=\"here\""), "{head}");
        assert!(!body.contains("total_requests"), "{body}");
        for name in ["Authorization", "Proxy-Authorization"] {
            assert_eq!(status(&proxy, "/stats", &format!("{LOCAL}{name}: {RIGHT}\r\n")).await, 200, "{name}");
            assert_eq!(status(&proxy, "/stats", &format!("{LOCAL}{name}: {WRONG}\r\n")).await, 401, "{name}");
        }
        // Health is open: an engine that checks it has no credentials.
        for path in ["/healthz", "/readyz"] {
            assert_eq!(status(&proxy, path, "Host: evil.test\r\n").await, 200, "{path}");
        }
    });
}

#[test]
fn whoever_is_refused_the_statistics_is_logged_and_counted() {
    run(async {
        let proxy = with_user(|json| json["stats"] = json!({ "require_auth": true })).await;
        let right = format!("{LOCAL}Authorization: {RIGHT}\r\n");
        for (number, (fields, status, word)) in (1..).zip([
            (format!("{LOCAL}Authorization: {WRONG}\r\n"), 401, "wrong_credentials"),
            (LOCAL.to_owned(), 401, "no_credentials"),
            (format!("{LOCAL}Authorization: Bearer x\r\n"), 401, "bad_credentials"),
        ]) {
            assert_eq!(self::status(&proxy, "/stats", &fields).await, status);
            let told = proxy.ear.finished(number).await;
            assert_eq!((told.status, told.outcome, &*told.method), (status, word, "GET"));
            let (_, _, body) = answer(&proxy, "GET", "/stats", &right).await;
            let stats: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((&stats["rejected_requests"], &stats["total"]["total_requests"]), (&json!(number), &json!(0)));
        }
        let open = TestProxy::before(&[([127, 0, 0, 1], 9).into()]).await;
        assert_eq!(status(&open, "/stats", "Host: evil.test\r\n").await, 403);
        assert_eq!(open.ear.finished(1).await.outcome, "stats_forbidden");
    });
}

#[test]
fn the_path_is_configurable() {
    run(async {
        let proxy = with_user(|json| json["server"]["stats_endpoint"] = json!("/inner/figures")).await;
        assert_eq!(status(&proxy, "/inner/figures", LOCAL).await, 200);
        assert_eq!(status(&proxy, "/inner/figures?pretty=1", LOCAL).await, 200);
        for path in ["/stats", "/", "/inner/figures/", "/INNER/figures", "//inner/figures", "/inner/%66igures", "*"] {
            let code = status(&proxy, path, LOCAL).await;
            assert!(matches!(code, 400 | 404), "{path}: {code}");
        }
    });
}

#[test]
fn only_get_and_head_and_the_connection_goes_on() {
    run(async {
        let proxy = with_user(|_| {}).await;
        let mut client = proxy.client().await;
        for path in ["/stats", "/healthz", "/readyz"] {
            ask(&mut client, "HEAD", path, LOCAL).await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
            assert!(head.contains("\r\nContent-Type: application/json\r\n"), "{path}: {head}");
            assert!(head.contains("\r\nCache-Control: no-store\r\n"), "{path}: {head}");
            // If a body came it would be in the way of the next head.
            ask(&mut client, "GET", path, LOCAL).await;
            let (head, body) = client.response().await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
            serde_json::from_slice::<Value>(&body).unwrap();
            for method in ["POST", "DELETE", "PUT", "OPTIONS", "TRACE", "get"] {
                ask(&mut client, method, path, LOCAL).await;
                let (head, _) = client.response().await;
                assert!(
                    head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: GET, HEAD\r\n"),
                    "{method} {head}"
                );
            }
        }
        ask(&mut client, "OPTIONS", "*", LOCAL).await;
        assert!(client.response().await.0.starts_with("HTTP/1.1 200 "), "OPTIONS of the server as a whole");
        ask(&mut client, "GET", "/nothing", LOCAL).await;
        assert!(client.response().await.0.starts_with("HTTP/1.1 404 "));
        // A body is not read: the connection ends with the answer.
        client.send("POST /stats HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello").await;
        let (head, _) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nConnection: close\r\n"), "{head}");
        assert_eq!(client.rest().await.unwrap(), b"");
    });
}

#[test]
fn no_proxied_request_reaches_them() {
    run(async {
        let (upstream, journal) = Double::mock("a").await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let port = proxy.addr.port();
        for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::ffff:127.0.0.1]:{port}")] {
            let (code, _, body) =
                answer(&proxy, "GET", &format!("http://{host}/stats"), &format!("Host: {host}\r\n")).await;
            assert_eq!(code, 403, "{host}");
            assert!(!body.contains("total_requests"), "{host}: {body}");
            let (code, ..) = answer(&proxy, "CONNECT", &host, &format!("Host: {host}\r\n")).await;
            assert_eq!(code, 403, "{host}");
        }
        assert_eq!(journal.counts().requests, 0, "nor does an upstream hear of it");
        // The path alone means nothing: another host's page is that host's.
        let (code, head, body) = answer(&proxy, "GET", "http://http.mock/stats", "Host: http.mock\r\n").await;
        assert_eq!(code, 404, "{head}");
        assert!(body.contains("http.mock"), "{body}");
        let (code, _, body) = answer(&proxy, "GET", "http://http.mock/healthz", "Host: localhost\r\n").await;
        assert!(code == 404 && body.contains("http.mock"), "{body}");
    });
}

#[test]
fn ready_means_that_a_request_could_be_served() {
    run(async {
        let dead = Double::refusing().await;
        let mut json = config(&[dead]);
        json["health_check"] = json!({ "failure_threshold": 1, "backoff_base": "1h", "backoff_max": "1h" });
        let proxy = TestProxy::start(json).await;
        let (code, _, body) = answer(&proxy, "GET", "/readyz", LOCAL).await;
        assert_eq!((code, serde_json::from_str::<Value>(&body).unwrap()), (200, json!({ "ready": true })));
        assert_eq!(answer(&proxy, "CONNECT", "a.test:80", "Host: a.test:80\r\n").await.0, 502);
        proxy.ear.wait(|heard| matches!(heard, Heard::Ejected { .. }).then_some(())).await;
        let (code, _, body) = answer(&proxy, "GET", "/readyz", LOCAL).await;
        let said = json!({ "ready": false, "reason": "no upstream can serve" });
        assert_eq!((code, serde_json::from_str::<Value>(&body).unwrap()), (503, said));
        assert_eq!(status(&proxy, "/healthz", LOCAL).await, 200, "a restart would mend nothing");
    });
}

#[test]
fn health_tells_of_reloads_and_no_secrets() {
    run(async {
        let proxy = with_user(|_| {}).await;
        let health = async || serde_json::from_str::<Value>(&answer(&proxy, "GET", "/healthz", LOCAL).await.2).unwrap();
        let said = |epoch: u32, reloads: u32, failed: bool| json!({ "status": "ok", "config_epoch": epoch, "reloads": reloads, "reload_failed": failed });
        assert_eq!(health().await, said(1, 0, false));
        proxy.proxy.refuse_reload("/etc/secret/place: is wrong");
        assert_eq!(health().await, said(1, 1, true), "not what: anyone may read this");
        let (_, _, body) = answer(&proxy, "GET", "/stats", LOCAL).await;
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["reload_error"], "/etc/secret/place: is wrong");
        let config = config(&[([127, 0, 0, 1], 10).into()]);
        proxy.proxy.reload(crate::support::parse(&config)).unwrap();
        assert_eq!(health().await, said(2, 2, false));
    });
}
