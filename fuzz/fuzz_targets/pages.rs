//! A path of our own pages with what stands behind it: the answer is whole, JSON where it says so, and a refusal shows nothing of
//! what was asked.
#![no_main]

use std::net::SocketAddr;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use proxy::Proxy;
use proxy::config::{System, parse};
use proxy::event::NoObserver;
use proxy::testing::MemoryEnv;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

const CONFIG: &[u8] = br#"{ "upstream_proxies": [{ "url": "http://127.0.0.1:9" }] }"#;

async fn answer(path: &str) -> String {
    let address = SocketAddr::from(([127, 0, 0, 1], 3130));
    let env = MemoryEnv::new();
    let config = parse("fuzz.json", CONFIG, &System::beside("fuzz.json".as_ref())).expect("it is good");
    let proxy = Proxy::start(config, env.clone(), Arc::new(NoObserver)).await.expect("nothing is in its way");
    let mut client = env.client(address).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.expect("it fits");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("nobody resets it");
    drop(proxy);
    String::from_utf8(answer).expect("our own pages are text")
}

fuzz_target!(|input: (u8, &str)| {
    let (page, rest) = input;
    if rest.len() > 1024 || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return;
    }
    let page = ["/requests", "/requests/", "/stats", "/metrics", "/dashboard", "/"][usize::from(page) % 6];
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("it can be made");
    let answer = runtime.block_on(answer(&format!("{page}{rest}")));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).expect("a status line");
    match status {
        "200" if head.contains("application/json") => {
            serde_json::from_str::<serde_json::Value>(body).expect("it says that it is JSON");
        }
        "200" => {}
        "400" | "404" => assert!(rest.len() < 16 || !body.contains(rest), "{body}"),
        other => panic!("{other}: {body}"),
    }
});
