//! Plays an upstream that costs as little as possible, because the proxy in front of it is measured.

use std::io::{self, Write};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a plain-HTTP request is answered with.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// What one read takes. Not more, since idle tunnels must fit by the thousand.
const BUFFER: usize = 2048;

/// Sent at a time by `source.test`, and read at a time by `sink.test`.
const BLOCK: usize = 256 * 1024;

/// Says where it listens, then serves until it is killed. Behind `CONNECT source.test:80` the first byte starts a
/// download without end, behind `CONNECT sink.test:80` everything is read and thrown away, any other CONNECT echoes, and
/// everything else gets a short answer.
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
            let length = body_length(&head);
            while held.len() < length {
                if stream.read_buf(&mut held).await? == 0 {
                    return Ok(());
                }
            }
            held.drain(..length);
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
        if head.starts_with(b"CONNECT sink.test") {
            let mut block = vec![0; BLOCK];
            while stream.read(&mut block).await? > 0 {}
            return Ok(());
        }
        while stream.write_all(&held).await.is_ok() {
            held.clear();
            if stream.read_buf(&mut held).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// What a head's Content-Length says, if it has one. The proxies here write no chunks where the client wrote none.
fn body_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or_default()
}
