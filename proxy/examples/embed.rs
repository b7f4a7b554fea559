//! Embeds the proxy in a program of your own, with an observer that hears what happens in it.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use proxy::Proxy;
use proxy::config::{self, System};
use proxy::core::time::Timestamp;
use proxy::env::Env;
use proxy::env::os::Os;
use proxy::event::{Event, Observer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Keeps a line for each request. It is called inline, so it must not block for long.
#[derive(Default)]
struct Requests(Mutex<Vec<String>>);

impl Observer for Requests {
    fn on(&self, at: Timestamp, event: &Event<'_>) {
        if let Event::Finished(request) = event {
            let line =
                format!("{:?}: {} {} {}", at.since(Timestamp::ZERO), request.method, request.target, request.outcome);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }
}

/// An upstream at a port where nobody listens, so that the example needs none.
const CONFIG: &str = r#"{
    "server": { "listen_address": "127.0.0.1:0" },
    "upstream_proxies": [{ "url": "http://127.0.0.1:1" }]
}"#;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    // References to files in a configuration are relative to the file that it is read from.
    let system = System::beside(Path::new("embed.json"));
    let config = config::parse("embed.json", CONFIG.as_bytes(), &system).map_err(|problems| problems.to_string())?;
    let requests = Arc::new(Requests::default());
    let proxy = Proxy::start(config, Os::new(), requests.clone()).await?;

    let mut client = Os::new().connect(proxy.local_addr()).await?;
    client.write_all(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");

    // Draining waits until every request is over, and with it until the observer has heard of each.
    drop(client);
    assert_eq!(proxy.drain().await, 0, "no connection had to be reset");
    let requests = requests.0.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(requests[0].ends_with("CONNECT a.test:443 connect_refused"), "{requests:?}");
    println!("{}", requests.join("\n"));
    Ok(())
}
