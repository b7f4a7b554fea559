//! `websocket.mock` (RFC 6455): echoes text and binary frames, answers pings, closes when a client does.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::http::body::{Body, text};
use crate::http::server::http_server;
use crate::request::{ProxyRequest, websocket_key};

/// The longest frame that is echoed.
const MAX_FRAME_BYTES: u64 = 1 << 20;

const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const TOO_BIG: [u8; 2] = 1009_u16.to_be_bytes();

/// The answer to the opening handshake that `request` carries.
pub(crate) fn accept_head(request: &ProxyRequest) -> String {
    head_for(request.websocket_key.as_deref().unwrap_or_default())
}

fn head_for(key: &str) -> String {
    /// RFC 6455 section 1.3.
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        STANDARD.encode(digest)
    )
}

/// Serves a tunnel: first the opening handshake, then frames.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let opening = Mutex::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        let key = websocket_key(request.headers());
        let refused = key.is_none();
        *opening.lock().unwrap_or_else(PoisonError::into_inner) = key;
        // The error makes hyper let go without writing a byte; we answer the opening ourselves.
        let answer = if refused { Ok(opening_needed()) } else { Err(io::Error::other("opened")) };
        Box::pin(async { answer }) as Pin<Box<_>>
    });
    let mut http = http_server().serve_connection(TokioIo::new(&mut *stream), service);
    let ended = poll_fn(|cx| http.poll_without_shutdown(cx)).await;
    let early = http.into_parts().read_buf;
    match opening.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(key) => {
            stream.write_all(head_for(&key).as_bytes()).await?;
            let (from, mut to) = tokio::io::split(&mut *stream);
            frames(&mut (&early[..]).chain(from), &mut to).await
        }
        None => {
            ended.map_err(io::Error::other)?;
            stream.shutdown().await
        }
    }
}

/// What `websocket.mock` answers to a request that does not open a WebSocket.
pub(super) fn opening_needed() -> Response<Body> {
    text(StatusCode::UPGRADE_REQUIRED, "websocket.mock needs Upgrade: websocket\n")
}

/// Echoes frames until one side closes.
pub(crate) async fn frames<R, W>(from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        let Ok(first) = from.read_u8().await else { return to.shutdown().await };
        let second = from.read_u8().await?;
        let length = match second & 0x7f {
            126 => u64::from(from.read_u16().await?),
            127 => from.read_u64().await?,
            short => u64::from(short),
        };
        let mut mask = [0; 4];
        if second & 0x80 != 0 {
            from.read_exact(&mut mask).await?;
        }
        if length > MAX_FRAME_BYTES {
            send(to, 0x80 | CLOSE, &TOO_BIG).await?;
            return to.shutdown().await;
        }
        let mut payload = vec![0; length as usize];
        from.read_exact(&mut payload).await?;
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        match first & 0x0f {
            PING => send(to, 0x80 | PONG, &payload).await?,
            PONG => {}
            CLOSE => {
                send(to, 0x80 | CLOSE, &payload).await?;
                to.shutdown().await?;
                // Read until the client's end: unread bytes would turn our close into a reset.
                tokio::io::copy(from, &mut tokio::io::sink()).await?;
                return Ok(());
            }
            // Text frames, binary frames and their continuations go back as they came.
            _ => send(to, first, &payload).await?,
        }
    }
}

/// Sends one frame, unmasked.
async fn send<W: AsyncWrite + Unpin>(to: &mut W, first: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(length as u8),
        length @ 126..=0xffff => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    to.write_all(&frame).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_token_is_the_one_of_the_standard() {
        // RFC 6455 section 1.3.
        assert!(head_for("dGhlIHNhbXBsZSBub25jZQ==").contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[tokio::test]
    async fn frames_are_unmasked_and_echoed_and_pings_answered() {
        let masked = [0x82, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3, 0x89, 0x01, b'p'];
        let mut sent = Vec::new();
        frames(&mut &masked[..], &mut sent).await.unwrap();
        assert_eq!(sent, [0x82, 3, b'a', b'b', b'c', 0x8a, 1, b'p']);
    }
}
