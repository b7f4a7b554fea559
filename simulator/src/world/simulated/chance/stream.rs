//! A stream of the proxy reads and writes only some of the bytes now and then.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use proxy::env::Duplex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::machine::Descriptor;

/// A stream whose reads and writes may be short.
pub(in crate::world::simulated) struct ChancyStream<S> {
    inner: S,
    descriptor: Descriptor,
}

impl<S> ChancyStream<S> {
    pub(in crate::world::simulated) fn new(inner: S, descriptor: Descriptor) -> Self {
        ChancyStream { inner, descriptor }
    }
}

impl<S: Duplex> Duplex for ChancyStream<S> {
    fn abort(self) {
        self.inner.abort();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ChancyStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = self.descriptor.machine().moves(buf.remaining());
        if room == buf.remaining() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ChancyStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = self.descriptor.machine().moves(buf.len());
        Pin::new(&mut self.inner).poll_write(cx, &buf[..count])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
