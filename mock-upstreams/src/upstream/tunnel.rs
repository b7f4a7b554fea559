//! Serves a tunnel: reaches the target, answers the CONNECT, carries the bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::Client;
use crate::journal::Outcome;
use crate::request::{Form, ProxyRequest, Target};
use crate::stream::{close_in_order, relay};
use crate::targets::{Builtin, websocket};

/// The answer of a good upstream to a CONNECT whose target it has reached.
pub const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// A target that has been reached: the far side of a tunnel.
pub enum ReachedTarget<T> {
    /// A built-in target.
    Builtin(Builtin),
    /// `websocket.mock`, behind an opening handshake that was forwarded.
    WebsocketFrames,
    /// A connection to a real target.
    Connected(T),
}

/// Reaches the target of a CONNECT or a WebSocket opening.
///
/// # Errors
/// Those of `connect`; "not found" for a name that ends in `.mock` and is not built in.
pub async fn reach<C, F, T>(request: &ProxyRequest, connect: &C) -> io::Result<ReachedTarget<T>>
where
    C: Fn(Target) -> F,
    F: Future<Output = io::Result<T>>,
{
    let target = &request.target;
    match Builtin::named(&target.host) {
        Some(Builtin::Websocket) if request.form == Form::Absolute => Ok(ReachedTarget::WebsocketFrames),
        Some(builtin) => Ok(ReachedTarget::Builtin(builtin)),
        None if target.host.ends_with(".mock") => {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("{}: no such built-in target", target.host)))
        }
        None => connect(target.clone()).await.map(ReachedTarget::Connected),
    }
}

/// Answers a CONNECT (or a WebSocket opening) and carries bytes until both sides have ended.
///
/// The 200 is sent once the target has been reached, never before.
pub async fn serve<S, C, F, T>(mut client: Client<S>, request: &ProxyRequest, connect: &C, upstream: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Fn(Target) -> F,
    F: Future<Output = io::Result<T>>,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let target = match reach(request, connect).await {
        Ok(target) => target,
        Err(_) => return unreachable(client).await,
    };
    // If anything fails from here on, the record tells how far the request came.
    let _ = carry(&mut client, request, target, upstream).await;
}

async fn carry<S, T>(
    client: &mut Client<S>,
    request: &ProxyRequest,
    target: ReachedTarget<T>,
    upstream: &str,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    match request.form {
        Form::Connect => client.send_head(200, ESTABLISHED).await?,
        Form::Absolute => client.send_head(101, websocket::accept_head(request).as_bytes()).await?,
    }
    target.run(client, upstream).await?;
    if let Some(record) = client.record() {
        record.outcome = Outcome::Completed;
    }
    // Of a TLS session the end has been read, but not that of its connection.
    close_in_order(client).await;
    Ok(())
}

/// Answers 502, because the target can't be reached.
pub async fn unreachable<S: AsyncRead + AsyncWrite + Unpin>(mut client: Client<S>) {
    if let Some(record) = client.record() {
        record.outcome = Outcome::Unreachable;
    }
    let head = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    if client.send_head(502, head).await.is_ok() {
        close_in_order(&mut client).await;
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> ReachedTarget<T> {
    /// Carries bytes between `stream` and the target until both sides have ended.
    ///
    /// # Errors
    /// Either side failed before that.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(self, stream: &mut S, upstream: &str) -> io::Result<()> {
        match self {
            ReachedTarget::Builtin(builtin) => builtin.run(stream, upstream).await,
            ReachedTarget::WebsocketFrames => {
                let (mut from, mut to) = tokio::io::split(stream);
                websocket::frames(&mut from, &mut to).await
            }
            ReachedTarget::Connected(target) => relay(stream, target).await,
        }
    }
}
