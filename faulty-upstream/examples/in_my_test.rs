//! A faulty upstream in a test of your own HTTP client: does the client get through when its proxy resets every other
//! connection? Here `fetch` is the client; put yours in its place.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use faulty_upstream::listen::{SocketListener, serve};
use faulty_upstream::{FaultyUpstream, plan};
use mock_upstreams::{Journal, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The second, the fourth, the sixth connection is reset in place of a reply.
const PLAN: &str = r#"{"faults": [{"fault": "reply-reset", "when": {"every": 2}}]}"#;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let plan = plan::parse(PLAN).map_err(|problems| problems[0].to_string())?;
    let clock = Arc::new(|| SystemTime::UNIX_EPOCH);
    let journal = Arc::new(Journal::new("bad", clock, 100, None));
    let upstream = Arc::new(FaultyUpstream::new("bad", Settings::default(), journal.clone(), plan));
    let listener = SocketListener::bind("127.0.0.1:0".parse()?)?;
    let proxy = listener.address();

    // The upstream serves until the client is done.
    let mut bodies = Vec::new();
    let client = async {
        for _ in 0..3 {
            bodies.push(fetch(proxy).await);
        }
    };
    serve(listener, upstream, client).await?;

    // The client got every page, and the journal names the fault that it had to get over.
    assert!(bodies.iter().all(|body| body.as_ref().is_ok_and(|body| body == "bad\n")), "{bodies:?}");
    let faults: Vec<String> = journal.requests().into_iter().flat_map(|request| request.faults).collect();
    assert_eq!(faults, ["reply-reset", "reply-reset"]);
    Ok(())
}

/// Gets `http://http.mock/ip` through `proxy`, and tries once more if that fails. The target is built into the upstream.
async fn fetch(proxy: SocketAddr) -> io::Result<String> {
    let attempt = async || {
        let mut stream = TcpStream::connect(proxy).await?;
        stream.write_all(b"GET http://http.mock/ip HTTP/1.1\r\nHost: http.mock\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    };
    match attempt().await {
        Err(_) => attempt().await,
        fetched => fetched,
    }
}
