//! A mock upstream on an in-memory pipe: serves one connection, then reads in the journal what the client did.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use mock_upstreams::checksum::Transferred;
use mock_upstreams::journal::{Journal, Outcome};
use mock_upstreams::listen::dial;
use mock_upstreams::{Settings, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    // The caller supplies the clock, so that a journal can have the same times in every run.
    let clock = Arc::new(|| SystemTime::UNIX_EPOCH);
    let journal = Arc::new(Journal::new("mock", clock, 100, None));
    let upstream = Upstream::new("mock", Settings::default(), journal.clone());

    // The client sends "hello" through a tunnel to the built-in target echo.mock.
    let (mut client, served) = tokio::io::duplex(1024);
    let talk = async {
        client.write_all(b"CONNECT r1.echo.mock:80 HTTP/1.1\r\nHost: r1.echo.mock\r\n\r\nhello").await?;
        client.shutdown().await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        io::Result::Ok(answer)
    };
    // Nothing is spawned: the upstream serves the connection while this future is polled.
    let (answer, ()) = tokio::join!(talk, upstream.serve(served, dial));
    assert_eq!(answer?, "HTTP/1.1 200 Connection established\r\n\r\nhello");

    let requests = journal.requests();
    print!("{}", journal.json_lines());
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].id.as_deref(), Some("r1"));
    assert_eq!(requests[0].outcome, Outcome::Completed);
    assert_eq!(requests[0].up, Transferred::of(b"hello"));
    assert_eq!(requests[0].down, Transferred::of(b"hello"));
    Ok(())
}
