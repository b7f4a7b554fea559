//! Plays an upstream that costs as little as possible, because the proxy in front of it is measured.

use std::io::{self, Write};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a plain-HTTP request is answered with.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// What one read takes. Not more, since idle tunnels must fit by the thousand.
const BUFFER: usize = 2048;

/// Sent at a time by `source.test`.
const BLOCK: usize = 256 * 1024;

/// Says where it listens, then serves until it is killed. Behind `CONNECT source.test:80` the first byte starts a
/// download without end, any other CONNECT echoes, and everything else gets a short answer.
pub(crate) async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        // One that fails is the client's doing.
        connections.spawn(async { drop(connection(stream).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut held = Vec::with_capacity(BUFFER);
    loop {
        let end = loop {
            if let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut held).await? == 0 {
                return Ok(());
            }
        };
        let head: Vec<u8> = held.drain(..end).collect();
        if !head.starts_with(b"CONNECT ") {
            stream.write_all(RESPONSE).await?;
            continue;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        if head.starts_with(b"CONNECT source.test") {
            if held.is_empty() && stream.read_buf(&mut held).await? == 0 {
                return Ok(());
            }
            let block = vec![7; BLOCK];
            loop {
                stream.write_all(&block).await?;
            }
        }
        while stream.write_all(&held).await.is_ok() {
            held.clear();
            if stream.read_buf(&mut held).await? == 0 {
                return Ok(());
            }
        }
    }
}
