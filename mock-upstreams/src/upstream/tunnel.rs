//! CONNECT from the dial to the last byte.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::Client;
use crate::journal::Outcome;
use crate::request::{Asked, Form, Target};
use crate::stream::{finish, relay};
use crate::targets::{Builtin, websocket};

/// What a good upstream says to a CONNECT whose target it has reached.
pub const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// The far side of a tunnel.
pub enum Leg<T> {
    /// A target that lives in this process.
    Builtin(Builtin),
    /// `websocket.mock` behind a forwarded opening handshake.
    Frames,
    /// A connection to a real one.
    Dialled(T),
}

/// Reaches the target of a CONNECT or a WebSocket opening.
///
/// # Errors
/// Those of `connect`; "not found" for a name that ends in `.mock` and is none of ours.
pub async fn dial<C, F, T>(asked: &Asked, connect: &C) -> io::Result<Leg<T>>
where
    C: Fn(Target) -> F,
    F: Future<Output = io::Result<T>>,
{
    let target = &asked.target;
    match Builtin::named(&target.host) {
        Some(Builtin::Websocket) if asked.form == Form::Absolute => Ok(Leg::Frames),
        Some(builtin) => Ok(Leg::Builtin(builtin)),
        None if target.host.ends_with(".mock") => {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("{}: no such built-in target", target.host)))
        }
        None => connect(target.clone()).await.map(Leg::Dialled),
    }
}

/// Answers a CONNECT (or a WebSocket opening) and carries its bytes until both sides have ended.
///
/// The 200 is sent once the target is reached, never before.
pub async fn serve<S, C, F, T>(mut client: Client<S>, asked: &Asked, connect: &C, upstream: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Fn(Target) -> F,
    F: Future<Output = io::Result<T>>,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let leg = match dial(asked, connect).await {
        Ok(leg) => leg,
        Err(_) => return unreachable(client).await,
    };
    // Whatever fails from here on, the record says how far it came.
    let _ = carry(&mut client, asked, leg, upstream).await;
}

async fn carry<S, T>(client: &mut Client<S>, asked: &Asked, leg: Leg<T>, upstream: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    match asked.form {
        Form::Connect => client.send_head(200, ESTABLISHED).await?,
        Form::Absolute => client.send_head(101, websocket::accept_head(asked).as_bytes()).await?,
    }
    leg.run(client, upstream).await?;
    if let Some(record) = client.record() {
        record.outcome = Outcome::Completed;
    }
    Ok(())
}

/// Answers 502: the target can't be reached.
pub async fn unreachable<S: AsyncRead + AsyncWrite + Unpin>(mut client: Client<S>) {
    if let Some(record) = client.record() {
        record.outcome = Outcome::Unreachable;
    }
    let head = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    if client.send_head(502, head).await.is_ok() {
        finish(&mut client).await;
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Leg<T> {
    /// Carries bytes between `stream` and the target until both sides have ended.
    ///
    /// # Errors
    /// Either side failed before that.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(self, stream: &mut S, upstream: &str) -> io::Result<()> {
        match self {
            Leg::Builtin(builtin) => builtin.run(stream, upstream).await,
            Leg::Frames => {
                let (mut from, mut to) = tokio::io::split(stream);
                websocket::frames(&mut from, &mut to).await
            }
            Leg::Dialled(target) => relay(stream, target).await,
        }
    }
}
