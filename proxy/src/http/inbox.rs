//! Reads heads off a stream into a bounded buffer.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::http::head::{Head, HeadError, HeadLimits, Kind};

/// How many bytes one read asks for while a head is awaited. Most heads fit, and a waiting connection holds no more memory.
const HEAD_READ_BYTES: usize = 2048;

/// How many bytes one read of a body asks for.
const BODY_READ_BYTES: usize = 16 * 1024;

/// The bytes that were read from one peer and are not used yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// The bytes. Bodies are read from here.
    pub(crate) bytes: BytesMut,
    scanned: usize,
}

impl Inbox {
    /// Reads a complete head, if one has arrived, and removes it. `limits` bounds its length.
    ///
    /// # Errors
    /// The head is malformed or too large. Then nobody knows where the next one starts.
    pub(crate) fn take_head<T>(
        &mut self,
        limits: HeadLimits,
        kind: Kind,
        read: impl FnOnce(Head<'_>) -> T,
    ) -> Result<Option<T>, HeadError> {
        let Some(head) = Head::find(&self.bytes, &mut self.scanned, limits, kind)? else { return Ok(None) };
        let (length, read) = (head.bytes().len(), read(head));
        self.scanned = 0;
        self.bytes.advance(length);
        Ok(Some(read))
    }

    /// Whether more has arrived than the empty line that may precede a head.
    pub(crate) fn has_begun_head(&self) -> bool {
        !matches!(&self.bytes[..], b"" | b"\r" | b"\r\n")
    }

    /// Reads once and returns how many bytes were read: zero at the end of the stream. It is cancel safe.
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
        // A read keeps no state between polls, so each poll may begin a new one.
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

    /// Takes out everything that is left.
    pub(crate) fn take_rest(&mut self) -> Bytes {
        self.scanned = 0;
        let rest = std::mem::take(&mut self.bytes);
        // Empty it is only a buffer, which nobody should hold.
        if rest.is_empty() { Bytes::new() } else { rest.freeze() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Bytes that are to be written to one peer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: BytesMut,
    unflushed: bool,
}

impl Outbox {
    /// Makes one that holds `bytes`.
    pub(crate) fn holding(bytes: BytesMut) -> Self {
        Outbox { bytes, unflushed: false }
    }

    /// How many bytes are not written yet.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes as many bytes as it can. It is ready once all are written, and no byte waits in the TLS layer.
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

    /// Takes out the bytes that are not written yet.
    pub(crate) fn take_rest(&mut self) -> BytesMut {
        std::mem::take(&mut self.bytes)
    }
}

/// Waits until the client's connection fails. Up to `limit` bytes that the client sends meanwhile are kept for later.
///
/// The end of the stream is not a failure: a client that has ended only its own direction still wants its answer.
pub(crate) async fn client_reset<S: AsyncRead + Unpin>(client: &mut S, inbox: &mut Inbox, limit: usize) -> io::Error {
    loop {
        if inbox.bytes.len() >= limit {
            return std::future::pending().await;
        }
        match inbox.fill(client).await {
            Ok(0) => return std::future::pending().await,
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}
