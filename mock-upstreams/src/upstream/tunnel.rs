//! CONNECT from the dial to the last byte.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::request::{Asked, Form, Target};
use crate::client::Client;
use crate::journal::Outcome;
use crate::targets::Builtin;
use crate::targets::websocket;
use super::Upstream;

/// The far side of a tunnel.
pub enum Leg<T> {
    /// A target that lives in this process.
    Builtin(Builtin),
    /// `websocket.mock` behind a forwarded opening handshake.
    Frames,
    /// A connection to a real one.
    Dialled(T),
}

impl Upstream {
    /// Reaches the target of a CONNECT or a WebSocket opening.
    ///
    /// # Errors
    /// Those of `connect`; "not found" for a name that ends in `.mock` and is none of ours.
    pub async fn dial<C, F, T>(&self, asked: &Asked, connect: &C) -> io::Result<Leg<T>>
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
    pub async fn tunnel<S, C, F, T>(&self, mut client: Client<S>, asked: &Asked, connect: &C)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        C: Fn(Target) -> F,
        F: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let leg = match self.dial(asked, connect).await {
            Ok(leg) => leg,
            Err(_) => return unreachable(client).await,
        };
        // Whatever fails from here on, the record says how far it came.
        let _ = carry(&mut client, asked, leg, self.name()).await;
    }
}

async fn carry<S, T>(client: &mut Client<S>, asked: &Asked, leg: Leg<T>, upstream: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    match asked.form {
        Form::Connect => client.send_head(200, b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
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

/// Ends our side in order and reads what the client still sends, so that no reset overtakes what was written.
pub async fn finish<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    /// More than this a client does not get to send behind our end.
    const MOST: u64 = 1 << 20;
    if stream.shutdown().await.is_ok() {
        // A failure to read is as good an end as any.
        let _ = tokio::io::copy(&mut stream.take(MOST), &mut tokio::io::sink()).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Writes bytes that the journal does not count: heads, and what faults say in the place of them.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn write_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn send_head(&mut self, status: u16, head: &[u8]) -> io::Result<()> {
        self.write_raw(head).await?;
        if let Some(record) = self.record() {
            record.status = Some(status);
        }
        Ok(())
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

/// Copies both ways; an end is passed on, a failure of either side ends both.
async fn relay<A, B>(a: A, b: B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_a, mut to_a) = tokio::io::split(a);
    let (mut from_b, mut to_b) = tokio::io::split(b);
    tokio::try_join!(pump(&mut from_a, &mut to_b), pump(&mut from_b, &mut to_a))?;
    Ok(())
}

pub(crate) async fn pump<R, W>(from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
    }
}
