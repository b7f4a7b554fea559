//! Asks a running proxy for its health, as `proxy healthcheck` and `proxy reload` do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::env::Env;
use crate::env::os::Os;
use crate::http::head::{HeadLimits, Scan, parse_response, scan};

/// A whole question and answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer read.
const MOST: u64 = 64 * 1024;

/// What /healthz says.
#[derive(Clone, Debug, Deserialize)]
pub struct HealthAnswer {
    /// `ok` or `draining`.
    pub status: String,
    /// The configuration in force, counted from 1.
    pub config_epoch: u64,
    /// Reloads tried since the start.
    pub reloads: u64,
    /// Whether the last of them was refused.
    pub reload_failed: bool,
}

/// Asks the proxy that listens on `listen` for its health. No credentials are needed.
///
/// # Errors
/// A sentence that says what failed: no answer, or one that is not ours.
pub async fn health(listen: SocketAddr) -> Result<HealthAnswer, String> {
    let address = reachable(listen);
    let asked = timeout(PATIENCE, ask(address)).await;
    let body = asked.map_err(|_| format!("{address} did not answer in time"))?;
    let body = body.map_err(|error| format!("{address}: {error}"))?;
    serde_json::from_slice(&body).map_err(|error| format!("{address} did not answer as a netdrift proxy does: {error}"))
}

/// A listener on all addresses is reached on this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = Os::new().connect(address).await?;
    let question = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    let limits = HeadLimits { max_bytes: 16 * 1024, max_fields: 100 };
    let wrong = |text: String| std::io::Error::new(std::io::ErrorKind::InvalidData, text);
    let head = match scan(&answer, &mut 0, limits) {
        Ok(Scan::Complete(length)) => length,
        Ok(Scan::Partial) => return Err(wrong("the answer was cut short".into())),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let (head, body) = answer.split_at(head);
    let head = parse_response(head, limits).map_err(|error| wrong(error.to_string()))?;
    if head.status != 200 {
        return Err(wrong(format!("status {}", head.status)));
    }
    Ok(body.to_vec())
}
