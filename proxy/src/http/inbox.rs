//! Reads heads off a stream into a bounded buffer.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::http::head::{HeadError, HeadLimits, Kind, Scan, scan};

/// Asked of one read while a head is awaited: most heads fit, and a waiting connection holds no more.
const HEAD_READ_BYTES: usize = 2048;

/// Asked of one read of a body.
const BODY_READ_BYTES: usize = 16 * 1024;

/// Bytes that were read from one peer and not used yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// The bytes; bodies are read from here.
    pub(crate) bytes: BytesMut,
    scanned: usize,
}

impl Inbox {
    /// Splits off a whole head, if one has arrived; its length is bounded by `limits`.
    ///
    /// # Errors
    /// The head is malformed or too large; where the next one starts is not known then.
    pub(crate) fn take_head(&mut self, limits: HeadLimits, kind: Kind) -> Result<Option<Bytes>, HeadError> {
        match scan(&self.bytes, &mut self.scanned, limits, kind)? {
            Scan::Complete(length) => {
                self.scanned = 0;
                Ok(Some(self.bytes.split_to(length).freeze()))
            }
            Scan::Partial => Ok(None),
        }
    }

    /// Whether more has come than the empty line that may stand before a head.
    pub(crate) fn has_begun_head(&self) -> bool {
        !matches!(&self.bytes[..], b"" | b"\r" | b"\r\n")
    }

    /// Reads once; the count, zero at the end of the stream. Cancel safe.
    pub(crate) async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<usize> {
        self.bytes.reserve(HEAD_READ_BYTES);
        stream.read_buf(&mut self.bytes).await
    }

    /// As [`Inbox::fill`], for a caller that polls for a body.
    pub(crate) fn poll_fill_body<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<usize>> {
        self.bytes.reserve(BODY_READ_BYTES);
        // A read keeps no state between polls, so a new one each time is the same one.
        pin!(stream.read_buf(&mut self.bytes)).poll(cx)
    }

    /// As [`Inbox::fill`], for a caller that polls for a head.
    pub(crate) fn poll_fill_head<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<usize>> {
        pin!(self.fill(stream)).poll(cx)
    }

    /// Everything that is left, taken out.
    pub(crate) fn take_rest(&mut self) -> Bytes {
        self.scanned = 0;
        std::mem::take(&mut self.bytes).freeze()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Bytes on their way to one peer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: BytesMut,
    unflushed: bool,
}

impl Outbox {
    /// With `bytes` in it.
    pub(crate) fn holding(bytes: BytesMut) -> Self {
        Outbox { bytes, unflushed: false }
    }

    /// Bytes that are not written yet.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes what can be written; ready once all of it is, and none waits in TLS.
    pub(crate) fn poll_send<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut W,
    ) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &self.bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.bytes.advance(count),
            }
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// What is not written yet, taken out.
    pub(crate) fn take_rest(&mut self) -> BytesMut {
        std::mem::take(&mut self.bytes)
    }
}

/// Waits until the client's side fails, keeping what it sends meanwhile up to `limit` bytes for later.
///
/// A client that ended only its own direction still wants its answer, so an end of stream is no failure.
pub(crate) async fn client_reset<S: AsyncRead + Unpin>(client: &mut S, inbox: &mut Inbox, limit: usize) {
    loop {
        if inbox.bytes.len() >= limit {
            return std::future::pending().await;
        }
        match inbox.fill(client).await {
            Ok(0) => return std::future::pending().await,
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
