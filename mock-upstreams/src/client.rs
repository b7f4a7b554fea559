//! A client's connection: the stream, what was read of it but not used yet, and the request it is busy with.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::journal::{End, Event, Journal, Record, Recording};

/// A client's connection to one upstream. Dropped, it is closed and the journal says so.
pub struct Client<S> {
    // Dropped in this order: the socket is closed before the journal says that it is.
    pub(crate) stream: S,
    /// Read from the stream with a head, but behind it.
    pub(crate) unread: Bytes,
    recording: Option<Recording>,
    pub(crate) presence: Presence,
}

/// Writes `opened` and, when dropped, `closed`.
pub(crate) struct Presence {
    journal: Arc<Journal>,
    pub(crate) connection: u64,
    pub(crate) requests: u64,
    pub(crate) reason: Option<&'static str>,
    faults: Vec<String>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.journal.write(Event::Closed {
            connection: self.connection,
            requests: self.requests,
            reason: self.reason,
            faults: std::mem::take(&mut self.faults),
        });
    }
}

impl<S> Client<S> {
    pub(crate) fn new(stream: S, connection: u64, journal: Arc<Journal>) -> Self {
        journal.write(Event::Opened { connection });
        let presence = Presence { journal, connection, requests: 0, reason: None, faults: Vec::new() };
        Client { stream, unread: Bytes::new(), recording: None, presence }
    }

    /// Its number on this upstream, from 1.
    pub fn connection(&self) -> u64 {
        self.presence.connection
    }

    /// Requests read from it so far.
    pub fn requests(&self) -> u64 {
        self.presence.requests
    }

    /// Notes a fault that is done to the connection as a whole.
    pub fn note_fault(&mut self, id: &str) {
        self.presence.faults.push(id.to_owned());
    }

    /// Bytes that pass from here on are counted in `recording`, which is written down when the connection ends or
    /// [`Client::end_request`] is called.
    pub(crate) fn begin_request(&mut self, recording: Recording) {
        self.recording = Some(recording);
    }

    /// The request that the connection is busy with, to be completed by whoever answers it.
    pub fn record(&mut self) -> Option<&mut Record> {
        self.recording.as_deref_mut()
    }

    /// The request is over, the connection is not.
    pub fn end_request(&mut self) {
        self.recording = None;
    }

    /// The stream itself, closed as far as the journal goes; what was read of it and not used is lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    fn failed(&mut self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
            && let Some(record) = self.record()
        {
            record.client_end = End::Rst;
        }
    }
}

impl<S: AsyncWrite + Unpin> Client<S> {
    /// Writes bytes that the journal does not count: heads, and what faults say in the place of them.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn write_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Writes the head of an answer, whose status goes into the record.
    ///
    /// # Errors
    /// Those of writing.
    pub(crate) async fn send_head(&mut self, status: u16, head: &[u8]) -> io::Result<()> {
        self.write_raw(head).await?;
        if let Some(record) = self.record() {
            record.status = Some(status);
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Client<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if this.unread.is_empty() || buf.remaining() == 0 {
            match Pin::new(&mut this.stream).poll_read(cx, buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    this.failed(&error);
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(())) => {}
            }
        } else {
            let count = this.unread.len().min(buf.remaining());
            buf.put_slice(&this.unread[..count]);
            this.unread.advance(count);
        }
        if let Some(record) = this.recording.as_deref_mut() {
            let fresh = &buf.filled()[before..];
            record.up.add(fresh);
            if fresh.is_empty() && buf.remaining() > 0 {
                record.client_end = End::Fin;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Client<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        match &written {
            Poll::Ready(Ok(count)) => {
                if let Some(record) = this.recording.as_deref_mut() {
                    record.down.add(&buf[..*count]);
                }
            }
            Poll::Ready(Err(error)) => this.failed(error),
            Poll::Pending => {}
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        if let (Poll::Ready(Ok(())), Some(record)) = (&shut, this.recording.as_deref_mut()) {
            record.upstream_end = End::Fin;
        }
        shut
    }
}
