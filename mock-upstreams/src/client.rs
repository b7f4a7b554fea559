//! Holds a client's connection to one upstream, with the record of the request that it is busy with.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::journal::{End, Event, Journal, Record, Recording};

/// A client's connection to one upstream. When it is dropped, it is closed and the journal says so.
///
/// While it is busy with a request, the bytes that are read and written are counted in that request's record.
pub struct Client<S> {
    // The fields are dropped in this order: the socket is closed before the journal says that it is.
    stream: S,
    /// Bytes that were read from the stream together with a head, but stand behind it.
    unread: Bytes,
    recording: Option<Recording>,
    entry: ConnectionEntry,
}

/// The journal's entries about one connection: `opened` is written at the start and `closed` when this is dropped.
struct ConnectionEntry {
    journal: Arc<Journal>,
    connection: u64,
    requests: u64,
    reason: Option<&'static str>,
    /// Who has logged in on it, by a scheme whose login stays with a connection.
    logged_in: Option<String>,
}

impl Drop for ConnectionEntry {
    fn drop(&mut self) {
        self.journal.write(Event::Closed { connection: self.connection, requests: self.requests, reason: self.reason });
    }
}

impl<S> Client<S> {
    pub(crate) fn new(stream: S, connection: u64, peer: Option<String>, journal: Arc<Journal>) -> Self {
        journal.write(Event::Opened { connection, peer });
        let entry = ConnectionEntry { journal, connection, requests: 0, reason: None, logged_in: None };
        Client { stream, unread: Bytes::new(), recording: None, entry }
    }

    /// The connection's number on its upstream, from 1.
    pub fn connection(&self) -> u64 {
        self.entry.connection
    }

    /// The number of requests that were read from the connection so far.
    pub fn requests(&self) -> u64 {
        self.entry.requests
    }

    /// Says how many requests were read from the connection so far.
    pub(crate) fn count_requests(&mut self, requests: u64) {
        self.entry.requests = requests;
    }

    /// Who has logged in on the connection, and stays so to its end.
    pub(crate) fn logged_in(&self) -> Option<String> {
        self.entry.logged_in.clone()
    }

    /// Says who has logged in on the connection.
    pub(crate) fn stays_logged_in(&mut self, name: Option<String>) {
        self.entry.logged_in = name;
    }

    /// Notes why the connection is about to be closed, for the journal.
    pub(crate) fn closes_because(&mut self, reason: &'static str) {
        self.entry.reason = Some(reason);
    }

    /// Has the journal say that a fault strikes the connection as a whole.
    pub fn note_fault(&mut self, id: &str) {
        let event = Event::Struck { connection: self.entry.connection, fault: id.to_owned() };
        self.entry.journal.write(event);
    }

    /// Puts back bytes that were read and not used. They are read again before any others.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        if self.unread.is_empty() {
            self.unread = bytes;
        } else {
            let mut all = BytesMut::from(bytes);
            all.extend_from_slice(&self.unread);
            self.unread = all.freeze();
        }
    }

    /// Counts bytes that pass from here on in `recording`, until the connection ends or [`Client::end_request`] is
    /// called; then it is written down.
    pub(crate) fn begin_request(&mut self, recording: Recording) {
        self.recording = Some(recording);
    }

    /// The record of the request that the connection is busy with. Whoever answers the request completes it.
    pub fn record(&mut self) -> Option<&mut Record> {
        self.recording.as_deref_mut()
    }

    /// Ends the request and keeps the connection open.
    pub fn end_request(&mut self) {
        self.recording = None;
    }

    /// Gives back the stream. The journal counts the connection as closed; bytes that were read and not used are lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// Goes on with what `wrap` makes of the stream, such as the TLS session inside it.
    ///
    /// # Errors
    /// Those of `wrap`. The connection is closed then, and the journal gives `failure` as the reason.
    pub async fn wrapped<T>(
        self,
        wrap: impl AsyncFnOnce(S) -> io::Result<T>,
        failure: &'static str,
    ) -> io::Result<Client<T>> {
        let Client { stream, unread, recording, mut entry } = self;
        match wrap(stream).await {
            Ok(stream) => Ok(Client { stream, unread, recording, entry }),
            Err(error) => {
                entry.reason = Some(failure);
                Err(error)
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
            && let Some(record) = self.record()
        {
            record.client_end = End::Rst;
        }
    }
}

impl<S: AsyncRead + Unpin> Client<S> {
    /// Waits until bytes have come, or the end, or a failure. They stay unread.
    pub(crate) async fn wait_for_bytes(&mut self) {
        let mut first = [0];
        // An end or a failure shows itself again to who reads next.
        if let Ok(1) = self.read(&mut first).await {
            self.put_back(Bytes::copy_from_slice(&first));
        }
    }
}

impl<S: AsyncWrite + Unpin> Client<S> {
    /// Writes bytes that the journal does not count: a head, or what a fault writes in place of a head.
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
