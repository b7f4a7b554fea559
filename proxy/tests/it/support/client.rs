//! Sends what a test says, byte for byte, and shows what comes back.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// A raw connection to a proxy, over TCP unless a test says otherwise.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    /// Read but not asked for yet.
    pub(crate) held: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Client::over(TcpStream::connect(addr).await.unwrap())
    }

    /// Over a connected stream.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Client::on(stream)
    }

    /// Drops the connection with a reset (RST).
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// On any connected stream.
    pub(crate) fn on(stream: S) -> Self {
        Client { stream, held: Vec::new() }
    }

    /// Sends all of it.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Ends our direction (FIN).
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Reads a head, up to and with its empty line.
    pub(crate) async fn head(&mut self) -> String {
        match self.next_head().await {
            Some(head) => head,
            None => panic!("no head, but {:?}", String::from_utf8_lossy(&self.held)),
        }
    }

    /// As [`Client::head`]; `None` where the stream ends or fails first.
    pub(crate) async fn next_head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.held.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if self.more().await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Reads exactly `count` bytes.
    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.held.len() < count {
            let got = self.more().await.unwrap();
            assert!(got > 0, "ended after {} of {count} bytes", self.held.len());
        }
        self.held.drain(..count).collect()
    }

    /// A response with a Content-Length, or one that ends with the connection.
    pub(crate) async fn response(&mut self) -> (String, Vec<u8>) {
        let head = self.head().await;
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let body = match length {
            Some(length) => self.exactly(length).await,
            None => self.rest().await.unwrap(),
        };
        (head, body)
    }

    /// Everything up to the end of the stream, or how the stream failed.
    pub(crate) async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.more().await? > 0 {}
        Ok(std::mem::take(&mut self.held))
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.held).await
    }
}
