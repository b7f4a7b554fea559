//! What one crowd of clients may take, and that the others are still answered. What takes time is proven below the
//! code, under paused time.

use std::time::Duration;

use proxy::Proxy;
use proxy::testing::{MemoryEnv, MemoryStream};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::sleep;

use super::binary::{Binary, stats};
use crate::support::{Client, Double, Memory, TestProxy, config, parse, run, run_paused};

/// The whole answer to `GET path`, on a connection of its own.
async fn page(proxy: &TestProxy, path: &str) -> String {
    let mut client = proxy.client().await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.addr)).await;
    String::from_utf8(client.rest().await.unwrap()).unwrap()
}

#[test]
fn above_the_limit_health_and_statistics_are_answered_and_others_told_to_come_back() {
    run(async {
        let (upstream, journal) = Double::mock("mock").await;
        let mut config = config(&[upstream.addr]);
        config["limits"] = json!({ "max_connections": 2 });
        let proxy = TestProxy::start(config).await;
        let mut first = proxy.tunnel("echo.mock:80").await;
        let mut second = proxy.tunnel("echo.mock:80").await;
        // More often than there are places in reserve, so that each has to be given back.
        for _ in 0..10 {
            for path in ["/healthz", "/readyz", "/stats"] {
                let text = page(&proxy, path).await;
                assert!(
                    text.starts_with("HTTP/1.1 200 ") && text.contains("\r\nConnection: close\r\n"),
                    "{path}: {text}"
                );
            }
            for request in ["CONNECT echo.mock:80", "GET http://http.mock/"] {
                let mut client = proxy.client().await;
                client.send(format!("{request} HTTP/1.1\r\nHost: http.mock\r\n\r\n")).await;
                let text = String::from_utf8(client.rest().await.unwrap()).unwrap();
                assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: 1\r\n"), "{text}");
                assert!(text.contains("\r\nProxy-Status: netdrift; error=http_request_denied\r\n"), "{text}");
                assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
            }
        }
        assert_eq!(journal.counts().connections, 2, "none of those reached an upstream");
        // Those inside notice nothing, and whoever leaves makes room.
        for tunnel in [&mut first, &mut second] {
            tunnel.send("hello").await;
            assert_eq!(tunnel.exactly(5).await, b"hello");
        }
        first.finish().await;
        assert_eq!(first.rest().await.unwrap(), b"");
        // Its place is free when its connection is gone, of which nothing tells us.
        loop {
            let mut client = proxy.client().await;
            client.send("CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock:80\r\n\r\n").await;
            let head = client.head().await;
            if head.starts_with("HTTP/1.1 200 ") {
                break;
            }
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        }
    });
}

#[test]
fn the_silent_do_not_lock_out_the_health_check() {
    run(async {
        let (upstream, _) = Double::mock("mock").await;
        let mut config = config(&[upstream.addr]);
        config["limits"] = json!({ "max_connections": 1 });
        // They may be silent for much longer than this test may run.
        config["timeouts"] = json!({ "header": "1h" });
        let proxy = TestProxy::start(config).await;
        let _tunnel = proxy.tunnel("echo.mock:80").await;
        let mut silent = Vec::new();
        for _ in 0..40 {
            silent.push(proxy.client().await);
        }
        assert!(page(&proxy, "/healthz").await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn those_who_go_on_sending_do_not_lock_out_the_health_check() {
    run_paused(async {
        let net = Memory::default();
        let mut json = config(&[([10, 0, 0, 1], 1).into()]);
        json["server"]["listen_address"] = json!("127.0.0.1:3130");
        json["limits"] = json!({ "max_connections": 1 });
        json["timeouts"] = json!({ "header": "1h" });
        let _proxy = net.start(parse(&json)).await;
        let _inside = net.client();
        for _ in 0..16 {
            let mut client = net.client();
            tokio::spawn(async move {
                client.send("POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n").await;
                while client.stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {
                    sleep(Duration::from_millis(100)).await;
                }
            });
        }
        // Until all of them are being listened to.
        sleep(Duration::from_millis(500)).await;
        let began = net.elapsed();
        let mut client = net.client();
        client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head:?}");
        let waited = net.elapsed() - began;
        assert!(waited <= Duration::from_secs(1), "{waited:?}");
    });
}

/// A proxy in memory for one client and the sixteen of the reserve, with a listener for its own pages.
async fn with_pages(net: &Memory) -> Proxy<MemoryEnv> {
    let mut json = config(&[([10, 0, 0, 1], 1).into()]);
    json["server"]["listen_address"] = json!("127.0.0.1:3130");
    json["admin"] = json!({ "listen_address": "127.0.0.1:3131" });
    json["limits"] = json!({ "max_connections": 1 });
    net.start(parse(&json)).await.0
}

/// A client of the listener for the pages.
fn visitor(net: &Memory) -> Client<MemoryStream> {
    Client::on(MemoryEnv::client(net, ([127, 0, 0, 1], 3131).into()).unwrap())
}

/// One whose request was answered.
async fn healthy(net: &Memory) -> Client<MemoryStream> {
    let mut client = visitor(net);
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head:?}");
    client
}

#[test]
fn a_crowd_on_one_listener_ends_no_connection_to_the_other_without_a_word() {
    run_paused(async {
        let net = Memory::default();
        let _proxy = with_pages(&net).await;
        let _crowd: Vec<_> = (0..17).map(|_| net.client()).collect();
        let began = net.elapsed();
        healthy(&net).await;
        assert_eq!(net.elapsed(), began, "it waits for nobody to leave");
    });
    run_paused(async {
        let net = Memory::default();
        let _proxy = with_pages(&net).await;
        let _crowd: Vec<_> = (0..16).map(|_| net.client()).collect();
        let _page = healthy(&net).await;
        let mut client = net.client();
        client.send("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 503 "), "{head:?}");
    });
}

#[test]
fn the_listener_for_the_pages_has_sixteen_places_of_its_own() {
    run_paused(async {
        let net = Memory::default();
        let _proxy = with_pages(&net).await;
        let _crowd: Vec<_> = (0..40).map(|_| net.client()).collect();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(net.accepted(), 17, "one and the reserve");
        let _visitors: Vec<_> = (0..40).map(|_| visitor(&net)).collect();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(net.accepted(), 33);
    });
}

#[test]
fn running_out_of_descriptors_is_survived_without_spinning() {
    run(async {
        let (upstream, _) = Double::mock("mock").await;
        let mut config = config(&[upstream.addr]);
        config["limits"] = json!({ "max_connections": 10_000 });
        config["timeouts"] = json!({ "header": "1h", "keep_alive": "1h" });
        let mut binary = Binary::start_as(&config, |binary, _| {
            let mut shell = Command::new("sh");
            shell.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", binary]);
            shell
        })
        .await;
        let mut inside = binary.client().await;
        stats(&mut inside, binary.addr).await;
        let mut crowd = Vec::new();
        for _ in 0..100 {
            crowd.push(binary.client().await);
        }
        binary.logged("can't accept connections").await;
        // Those inside are served meanwhile, for as long as it takes a loop that spins to fill the log.
        for _ in 0..500 {
            stats(&mut inside, binary.addr).await;
        }
        drop(crowd);
        // Descriptors are free when the crowd's end has been seen, of which nothing tells us. Until then it is our own lack.
        loop {
            let mut client = Client::connect(binary.addr).await;
            client.send("GET http://http.mock/ HTTP/1.1\r\nHost: http.mock\r\n\r\n").await;
            let head = client.response().await.0;
            if head.starts_with("HTTP/1.1 200 ") {
                break;
            }
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        }
        let failed = binary.log().iter().filter(|line| line.contains("can't accept connections")).count();
        // Ten a second; the watchdog gives this test a minute.
        assert!(failed <= 600, "{failed} failed accepts");
        inside.send(format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", binary.addr)).await;
        let page = String::from_utf8(inside.response().await.1).unwrap();
        let counted = "netdrift_failed_accepts_total{reason=\"descriptors\"} ";
        assert!(page.lines().any(|line| line.starts_with(counted)), "{page}");
        binary.stop().await;
    });
}
