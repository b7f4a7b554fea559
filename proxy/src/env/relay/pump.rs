//! Carries the bytes of one direction, by copying them through a buffer. This works on any stream.
//!
//! A pump owns nothing while its source is dry: the buffer comes from a per-thread list when bytes arrive and
//! goes back when they are delivered.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::env::traffic::Counter;

/// Which end of a pump failed.
#[derive(Debug)]
pub(crate) enum PumpError {
    /// The source: nothing more will come.
    Source(io::Error),
    /// The destination: nothing more will be taken.
    Destination(Refusal, io::Error),
}

impl PumpError {
    /// A write failed with `error`.
    pub(crate) fn refused(error: io::Error) -> Self {
        // Linux keeps the two apart: a reset behind a peer's end fails the write with EPIPE, any other with ECONNRESET.
        let closed = error.kind() == io::ErrorKind::BrokenPipe;
        PumpError::Destination(if closed { Refusal::Closed } else { Refusal::Reset }, error)
    }
}

/// Why a destination takes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its own direction had ended in order before: all of that can still be read.
    Closed,
    /// It was reset, so that what it sent may be cut.
    Reset,
}

/// Carries one direction.
pub(crate) trait Pump<S, D> {
    /// Moves what can be moved; ready once the source has ended and all that came before is delivered.
    fn poll_pump(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        destination: &mut D,
        delivered: &Counter,
    ) -> Poll<Result<(), PumpError>>;
}

/// What one buffer holds. 16 KiB is a full TLS record, the unit most tunnels speak in.
pub(crate) const BUFFER_BYTES: usize = 16 * 1024;

/// Buffers kept for reuse on each thread; beyond it they are freed.
const SPARE_BUFFERS: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn take_buffer() -> Box<[u8]> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
}

pub(super) fn give_buffer(buffer: Box<[u8]>) {
    SPARE.with_borrow_mut(|spare| {
        // Early bytes come in odd sizes; only whole buffers are worth keeping.
        if spare.len() < SPARE_BUFFERS && buffer.len() == BUFFER_BYTES {
            spare.push(buffer);
        }
    });
}

/// Copies through a buffer.
#[derive(Debug, Default)]
pub(crate) struct BufferPump {
    held: Option<Held>,
    unflushed: bool,
}

#[derive(Debug)]
struct Held {
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
}

impl BufferPump {
    /// A pump that delivers `early` before anything it reads.
    pub(crate) fn starting_with(early: &[u8]) -> Self {
        let held = (!early.is_empty()).then(|| Held { buffer: early.into(), from: 0, to: early.len() });
        BufferPump { held, unflushed: false }
    }

    /// Delivers what is held; ready when nothing is.
    pub(crate) fn poll_deliver<D: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        destination: &mut D,
        delivered: &Counter,
    ) -> Poll<Result<(), PumpError>> {
        while let Some(held) = &mut self.held {
            let waiting = held.buffer.get(held.from..held.to).unwrap_or_default();
            let written = ready!(Pin::new(&mut *destination).poll_write(cx, waiting)).map_err(PumpError::refused)?;
            if written == 0 {
                return Poll::Ready(Err(PumpError::refused(io::ErrorKind::WriteZero.into())));
            }
            self.unflushed = true;
            held.from += written;
            delivered.add(written as u64);
            if held.from == held.to
                && let Some(held) = self.held.take()
            {
                give_buffer(held.buffer);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once into a buffer; ready with the count, zero at the end. Keeps no buffer while nothing comes.
    pub(crate) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<usize, PumpError>> {
        let mut buffer = take_buffer();
        let mut target = ReadBuf::new(&mut buffer);
        let outcome = Pin::new(source).poll_read(cx, &mut target);
        let count = target.filled().len();
        match outcome {
            Poll::Ready(Ok(())) if count > 0 => {
                self.held = Some(Held { buffer, from: 0, to: count });
                Poll::Ready(Ok(count))
            }
            other => {
                give_buffer(buffer);
                other.map(|result| match result {
                    Ok(()) => Ok(0),
                    // TLS without a close_notify. What runs inside a tunnel has an integrity of its own, and a
                    // reset here would throw away bytes that the peer has not read yet.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                    Err(error) => Err(PumpError::Source(error)),
                })
            }
        }
    }
}

impl<S: AsyncRead + Unpin, D: AsyncWrite + Unpin> Pump<S, D> for BufferPump {
    fn poll_pump(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        destination: &mut D,
        delivered: &Counter,
    ) -> Poll<Result<(), PumpError>> {
        loop {
            ready!(self.poll_deliver(cx, destination, delivered))?;
            match self.poll_fill(cx, source)? {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) => {}
                Poll::Pending => {
                    // TLS holds records back until told: flush whenever the source pauses.
                    if self.unflushed
                        && let Poll::Ready(flushed) = Pin::new(&mut *destination).poll_flush(cx)
                    {
                        flushed.map_err(PumpError::refused)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}
