//! What a session does as time passes, in memory and under paused time.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

mod hints;

use super::*;
use crate::env::Listener;
use crate::event::NoObserver;
use crate::proxy::Proxy;
use crate::testing::{CONNECTION_BYTES, MemoryEnv, MemoryStream, Names, Nowhere, lock_turns};

const UPSTREAM: &str = "10.0.0.1:3128";

/// A proxy with these settings beside one upstream at [`UPSTREAM`], in a network of its own.
async fn start(settings: Value) -> (Proxy<MemoryEnv>, MemoryEnv) {
    let mut config = json!({
        "server": { "listen_address": "127.0.0.1:3130", "pid_file": "" },
        "upstream_proxies": [{ "url": format!("http://{UPSTREAM}") }],
    });
    config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let config = crate::config::parse("test.json", config.to_string().as_bytes(), &Nowhere).unwrap();
    let env = MemoryEnv::default();
    (Proxy::start(config, env.clone(), Arc::new(NoObserver)).await.unwrap(), env)
}

fn client(proxy: &Proxy<MemoryEnv>, env: &MemoryEnv) -> MemoryStream {
    env.client(proxy.local_addr()).unwrap()
}

/// All that comes until the proxy ends the connection, and how long that took.
async fn to_end(client: &mut MemoryStream) -> (String, Duration) {
    let from = Instant::now();
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    (text, from.elapsed())
}

/// The head of one answer, with its body where that is `length` long.
async fn answer(client: &mut MemoryStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(text).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
    client.read_exact(&mut vec![0; length]).await.unwrap();
    head
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_head_that_takes_too_long_is_answered_with_408() {
    let (proxy, env) = start(json!({ "timeouts": { "header": "7s" } })).await;
    let mut client = client(&proxy, &env);
    // A byte now and then must not put it off.
    let slow = tokio::time::sleep(Duration::from_secs(2));
    client.write_all(b"GET http://a.test/ HTTP/1.1\r\n").await.unwrap();
    slow.await;
    client.write_all(b"Host: a").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    client.write_all(b".test").await.unwrap();
    let (text, took) = to_end(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("\r\nConnection: close\r\n"), "{text}");
    assert_eq!(took.as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_asks_is_let_go_without_a_word() {
    let (proxy, env) = start(json!({ "timeouts": { "header": "7s" } })).await;
    let mut client = client(&proxy, &env);
    let (text, took) = to_end(&mut client).await;
    assert_eq!((text.as_str(), took.as_secs()), ("", 7));
}

#[tokio::test(start_paused = true)]
async fn the_first_head_takes_no_longer_than_it_may_however_late_it_begins() {
    let (proxy, env) = start(json!({ "timeouts": { "header": "7s" } })).await;
    let mut client = client(&proxy, &env);
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let (text, took) = to_end(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert_eq!(took.as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_later_head_may_take_as_long_as_the_first_from_when_it_begins() {
    let (proxy, env) = start(json!({ "timeouts": { "header": "7s" } })).await;
    let mut client = client(&proxy, &env);
    client.write_all(HEALTH).await.unwrap();
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 "));
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let (text, took) = to_end(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert_eq!(took.as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_connection_idle_between_requests_is_let_go_without_a_word() {
    let (proxy, env) = start(json!({ "timeouts": { "header": "7s", "keep_alive": "30s" } })).await;
    let mut client = client(&proxy, &env);
    for _ in 0..3 {
        client.write_all(HEALTH).await.unwrap();
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 "));
        tokio::time::sleep(Duration::from_secs(29)).await;
    }
    let (text, took) = to_end(&mut client).await;
    assert_eq!((text.as_str(), took.as_secs()), ("", 1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_that_goes_on_sending_is_listened_to_for_so_many_bytes_only() {
    let (proxy, env) = start(json!({})).await;
    let mut client = client(&proxy, &env);
    client.write_all(b"\0").await.unwrap();
    // The 64 MiB that the proxy reads at most, and what the network holds.
    let mut mebibytes = 0;
    while client.write_all(&[0; 1024 * 1024]).await.is_ok() {
        mebibytes += 1;
    }
    assert_eq!(mebibytes, 64);
}

#[tokio::test(start_paused = true)]
async fn above_the_reserve_clients_wait_in_the_queue() {
    let (proxy, env) = start(json!({ "limits": { "max_connections": 3 } })).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(client(&proxy, &env));
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    // Three and the reserve of sixteen.
    assert_eq!(env.accepted(), 19);
    // Who waits there is served when somebody leaves.
    let mut last = client(&proxy, &env);
    last.write_all(HEALTH).await.unwrap();
    drop(clients);
    assert!(answer(&mut last).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn an_accept_that_fails_is_tried_again_after_a_rest() {
    let (proxy, env) = start(json!({})).await;
    env.fail_accepts(1_000, std::io::ErrorKind::Other);
    let _client = client(&proxy, &env);
    // The listener was waiting already when it began to fail, so one got in.
    let _second = client(&proxy, &env);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let first = env.failing_accepts();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let failures = first - env.failing_accepts();
    assert!((50..=200).contains(&failures), "{failures} failures in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn clients_that_leave_before_they_are_accepted_cost_the_next_no_rest() {
    let (proxy, env) = start(json!({})).await;
    env.fail_accepts(1_000, std::io::ErrorKind::ConnectionAborted);
    let mut clients = [client(&proxy, &env), client(&proxy, &env)];
    let started = Instant::now();
    for client in &mut clients {
        client.write_all(HEALTH).await.unwrap();
        assert!(answer(client).await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!((started.elapsed(), env.failing_accepts()), (Duration::ZERO, 0));
}

#[tokio::test(start_paused = true)]
async fn everyone_in_the_queue_is_let_in_before_accepting_stops() {
    let (proxy, env) = start(json!({})).await;
    let proxy = Arc::new(proxy);
    tokio::time::sleep(Duration::from_millis(1)).await;
    // More than a task is let do in one go, and before the listener has seen any of them.
    let mut clients = tokio::task::unconstrained(async {
        let mut clients = Vec::new();
        for _ in 0..500 {
            let mut client = client(&proxy, &env);
            client.write_all(HEALTH).await.unwrap();
            clients.push(client);
        }
        clients
    })
    .await;
    env.spawn({
        let proxy = Arc::clone(&proxy);
        async move {
            proxy.drain().await;
        }
    });
    for client in &mut clients {
        assert!(answer(client).await.starts_with("HTTP/1.1 200 "));
    }
}

/// What an upstream can send towards a client that reads nothing, in bytes.
async fn sent_to_one_who_reads_nothing(request: &str, reply: &'static str) -> u64 {
    let (proxy, env) = start(json!({ "timeouts": { "idle_tunnel": "1h", "body": "1h" } })).await;
    let mut listener = env.bind(UPSTREAM.parse::<SocketAddr>().unwrap()).await.unwrap();
    let sent = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    env.spawn(async move {
        let (mut upstream, _) = listener.accept().await.unwrap();
        answer(&mut upstream).await;
        upstream.write_all(reply.as_bytes()).await.unwrap();
        while let Ok(count) = upstream.write(&[b'x'; 4096]).await {
            counter.fetch_add(count as u64, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let mut client = client(&proxy, &env);
    client.write_all(request.as_bytes()).await.unwrap();
    // Paused time moves on only when nobody has anything left to do.
    tokio::time::sleep(Duration::from_secs(60)).await;
    sent.load(std::sync::atomic::Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_holds_a_bounded_number_of_bytes() {
    let tunnel = sent_to_one_who_reads_nothing(
        "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    );
    let sized = sent_to_one_who_reads_nothing(
        "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n",
    );
    let endless =
        sent_to_one_who_reads_nothing("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
    for (what, held) in [("tunnel", tunnel.await), ("sized", sized.await), ("endless", endless.await)] {
        // The two connections' own room, and no more than that again for us.
        assert!((1..=4 * CONNECTION_BYTES as u64 + 64 * 1024).contains(&held), "{what}: {held}");
    }
}

fn size<A, B, C, D, G, F: Future>(_: impl Fn(A, B, C, D, G) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn the_task_of_an_idle_tunnel_is_small() {
    let bytes = size(serve::<crate::env::os::Os>);
    assert!(bytes <= 536, "a tunnel's task has grown to {bytes} bytes");
}

/// Serves whoever comes to `address` with `reply` to each head, and echoes nothing.
async fn answering(env: &MemoryEnv, address: &str, reply: &'static str) {
    let mut listener = env.bind(address.parse::<SocketAddr>().unwrap()).await.unwrap();
    let environment = env.clone();
    env.spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            environment.spawn(async move {
                let mut held = Vec::new();
                while let Ok(byte) = peer.read_u8().await {
                    held.push(byte);
                    if held.ends_with(b"\r\n\r\n") {
                        held.clear();
                        peer.write_all(reply.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
}

/// How often a lock was taken for this request of one client, whose answer ends with `end`: before it says that it has no
/// more to say, and until all is over.
async fn turns_of(proxy: &Proxy<MemoryEnv>, env: &MemoryEnv, request: &str, end: &str) -> u64 {
    let before = lock_turns();
    let mut client = client(proxy, env);
    client.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.ends_with(end) {
        text.push(client.read_u8().await.unwrap().into());
    }
    client.shutdown().await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    // Paused time moves on when all is done.
    tokio::time::sleep(Duration::from_millis(1)).await;
    lock_turns() - before
}

#[tokio::test(start_paused = true)]
async fn neither_a_tunnel_nor_a_page_waits_for_a_lock_while_all_goes_well() {
    const TUNNEL: [&str; 3] =
        ["CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nhello", "hello"];
    const PAGE: [&str; 3] = [
        "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "hello",
    ];
    // Of a page: the list of its upstream's kept connections, which it takes one from and gives it back to.
    for ([request, reply, end], turns) in [(TUNNEL, 0), (PAGE, 2)] {
        for upstream in [UPSTREAM, "name.test:3128"] {
            let upstreams = json!([{ "url": format!("http://{upstream}") }]);
            let (proxy, env) = start(json!({ "upstream_proxies": upstreams })).await;
            env.set_names(Names::Resolve(vec![UPSTREAM.parse().unwrap()]));
            answering(&env, UPSTREAM, reply).await;
            // The first one looks the name up, and connects.
            turns_of(&proxy, &env, request, end).await;
            for _ in 0..3 {
                assert_eq!(turns_of(&proxy, &env, request, end).await, turns, "{request} by {upstream}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_has_ended_leaves_its_slot_to_the_next() {
    let (proxy, env) = start(json!({})).await;
    answering(&env, UPSTREAM, "HTTP/1.1 200 OK\r\n\r\nhello").await;
    for _ in 0..3 {
        turns_of(&proxy, &env, "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n", "hello").await;
    }
    assert_eq!(proxy.tunnel_slots(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_waits_for_a_second_opinion_costs_others_a_turn_of_the_lock_until_it_is_old() {
    let (proxy, env) = start(json!({})).await;
    answering(&env, UPSTREAM, "HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    let bad = "CONNECT bad.test:80 HTTP/1.1\r\nHost: bad.test:80\r\n\r\n";
    turns_of(&proxy, &env, bad, "\n").await;
    answering(&env, UPSTREAM, "HTTP/1.1 200 OK\r\n\r\nhello").await;
    let good = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n";
    assert_eq!(turns_of(&proxy, &env, good, "hello").await, 2, "one as it opens, one as it ends");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(turns_of(&proxy, &env, good, "hello").await, 0);
}

#[tokio::test(start_paused = true)]
async fn others_have_their_turns_while_a_long_page_is_made() {
    let mut turns = Vec::new();
    for upstreams in [1, 320] {
        let one = |number: u32| json!({ "url": format!("http://u{number}:p@{UPSTREAM}") });
        let upstreams: Vec<Value> = (0..upstreams).map(one).collect();
        let (proxy, env) = start(json!({ "upstream_proxies": upstreams })).await;
        let mut client = client(&proxy, &env);
        let taken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let other = Arc::clone(&taken);
        let read = async {
            client.write_all(b"GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
            // Up to its first byte it is made, behind that it is sent.
            client.read_u8().await.unwrap();
        };
        tokio::select! {
            biased;
            () = read => {}
            () = async {
                loop {
                    tokio::task::yield_now().await;
                    other.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            } => {}
        }
        turns.push(taken.load(std::sync::atomic::Ordering::Relaxed));
    }
    let [short, long] = turns[..] else { panic!("{turns:?}") };
    assert!(long >= short + 320 / 32, "{short} turns beside one upstream, {long} beside 320");
}
