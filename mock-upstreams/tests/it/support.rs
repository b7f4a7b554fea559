//! Provides a running mock, and a client that writes and reads raw bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mock_upstreams::journal::{Journal, Record};
use mock_upstreams::listen::listen;
use mock_upstreams::{Auth, Settings, Upstream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A mock on a free port; gone when dropped.
pub(crate) struct Mock {
    pub(crate) address: SocketAddr,
    pub(crate) upstream: Arc<Upstream>,
    _task: JoinSet<()>,
}

pub(crate) fn upstream(settings: Settings) -> Upstream {
    let journal = Arc::new(Journal::new("m", Arc::new(|| SystemTime::UNIX_EPOCH), 1000, None));
    Upstream::new("m", settings, journal)
}

pub(crate) fn with_auth() -> Settings {
    Settings { auth: Auth::parse("u:p"), ..Settings::default() }
}

impl Mock {
    pub(crate) async fn start(settings: Settings) -> Mock {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = Arc::new(upstream(settings));
        let mut task = JoinSet::new();
        task.spawn(listen(listener, upstream.clone(), std::future::pending()));
        Mock { address, upstream, _task: task }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `bytes` on a new connection, ends our side, reads to the end.
    pub(crate) async fn exchange(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut client = self.connect().await;
        client.write_all(bytes.as_ref()).await.unwrap();
        client.shutdown().await.unwrap();
        read_to_end(&mut client).await
    }

    pub(crate) async fn get(&self, url: &str) -> (String, Vec<u8>) {
        let answer = self.exchange(format!("GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        split(&answer)
    }

    /// The requests once `count` are over and every connection is closed.
    pub(crate) async fn requests(&self, count: u64) -> Vec<Record> {
        let journal = self.upstream.journal();
        journal.until(|counts| counts.requests == count && counts.open_connections == 0).await;
        journal.requests()
    }
}

pub(crate) fn connect_to(target: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
}

pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Reads one head, byte by byte so that nothing behind it is taken.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Head and body of an answer.
pub(crate) fn split(answer: &[u8]) -> (String, Vec<u8>) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("no end of head") + 4;
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end..].to_vec())
}

/// Fails a test that hangs.
pub(crate) async fn watched<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs")
}
