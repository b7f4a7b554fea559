//! Holds what the benches on real processes share: children, their figures from `/proc`, a quick upstream, a raw client.

#![allow(dead_code, reason = "each bench uses the part that it needs")]

pub(crate) mod process;
pub(crate) mod upstream;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Ends whatever hangs; nothing is measured by it.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// Opens a tunnel to `target` through the proxy at `addr`.
pub(crate) async fn tunnel(addr: SocketAddr, target: &str) -> io::Result<TcpStream> {
    let opening = async {
        let mut stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await?;
        let mut head = Vec::with_capacity(512);
        while !head.ends_with(b"\r\n\r\n") {
            // Byte by byte would cost more than the proxy: the targets used here do not speak first.
            if stream.read_buf(&mut head).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if head.get(9..12) != Some(b"200") {
            return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
        }
        Ok(stream)
    };
    timeout(WATCHDOG, opening).await.map_err(io::Error::from)?
}

/// Sends `message` and reads as many bytes back.
pub(crate) async fn echo(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let mut back = [0; 256];
    let back = back.get_mut(..message.len()).ok_or(io::ErrorKind::InvalidInput)?;
    stream.write_all(message).await?;
    timeout(WATCHDOG, stream.read_exact(back)).await.map_err(io::Error::from)??;
    Ok(())
}

/// A configuration for netdrift in front of one upstream, whose kept connections all requests may take.
pub(crate) fn netdrift_config(listen: SocketAddr, upstream: SocketAddr, level: &str) -> String {
    json!({
        "server": { "listen_address": listen.to_string(), "pid_file": "", "control_socket": "" },
        "logging": { "level": level },
        "timeouts": { "pool_idle_unrepeatable": "1s" },
        "upstream_proxies": [{ "url": format!("http://{upstream}") }],
    })
    .to_string()
}
