//! Relays both directions of a tunnel in one small future; copies through a buffer on any stream.
//!
//! A pump owns nothing while its source is dry: the buffer comes from a per-thread list when bytes arrive and
//! goes back when they are delivered. An idle tunnel therefore costs its two sockets and this future.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{Counter, Duplex, Stop, Traffic};

/// Bytes that were read from one side before the relay began; they go out first.
#[derive(Debug, Default)]
pub struct Early {
    /// What the client sent behind its CONNECT head.
    pub to_upstream: Bytes,
    /// What the upstream sent behind its 2xx head.
    pub to_client: Bytes,
}

/// When a relay ends by itself.
#[derive(Clone, Copy, Debug)]
pub struct RelayLimits {
    /// No byte either way for this long.
    pub idle: Duration,
    /// No byte for this long after one direction has ended.
    pub half_closed: Duration,
}

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayEnd {
    /// Both directions ended in order.
    Closed,
    /// The client's side failed (reset, or closed under our writes).
    ClientReset,
    /// The upstream's side failed.
    UpstreamReset,
    /// The upstream ended in order and then took nothing more, as a target does that hangs up. It is no failure.
    UpstreamClosed,
    /// [`RelayLimits::idle`] passed.
    Idle,
    /// [`RelayLimits::half_closed`] passed.
    HalfClosedIdle,
    /// The stop signal fired; both sides were reset.
    Stopped,
}

impl RelayEnd {
    /// Its name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            RelayEnd::Closed => "closed",
            RelayEnd::ClientReset => "client_reset",
            RelayEnd::UpstreamReset => "upstream_reset",
            RelayEnd::UpstreamClosed => "upstream_closed",
            RelayEnd::Idle => "idle",
            RelayEnd::HalfClosedIdle => "half_closed_idle",
            RelayEnd::Stopped => "stopped",
        }
    }
}

/// Which end of a pump failed.
#[derive(Debug)]
pub(super) enum PumpError {
    /// The source: nothing more will come.
    Source,
    /// The destination: nothing more will be taken.
    Destination,
}

/// Carries one direction.
pub(super) trait Pump<S, D> {
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
pub(super) const BUFFER_BYTES: usize = 16 * 1024;

/// Buffers kept for reuse on each thread; beyond it they are freed.
const SPARE_BUFFERS: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

fn take_buffer() -> Box<[u8]> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
}

fn give_buffer(buffer: Box<[u8]>) {
    SPARE.with_borrow_mut(|spare| {
        // Early bytes come in odd sizes; only whole buffers are worth keeping.
        if spare.len() < SPARE_BUFFERS && buffer.len() == BUFFER_BYTES {
            spare.push(buffer);
        }
    });
}

/// Copies through a buffer.
#[derive(Debug, Default)]
pub(super) struct BufferPump {
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
    pub(super) fn starting_with(early: &[u8]) -> Self {
        let held = (!early.is_empty()).then(|| Held { buffer: early.into(), from: 0, to: early.len() });
        BufferPump { held, unflushed: false }
    }

    /// Delivers what is held; ready when nothing is.
    pub(super) fn poll_deliver<D: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        destination: &mut D,
        delivered: &Counter,
    ) -> Poll<Result<(), PumpError>> {
        while let Some(held) = &mut self.held {
            let waiting = held.buffer.get(held.from..held.to).unwrap_or_default();
            let written =
                ready!(Pin::new(&mut *destination).poll_write(cx, waiting)).map_err(|_| PumpError::Destination)?;
            if written == 0 {
                return Poll::Ready(Err(PumpError::Destination));
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
    pub(super) fn poll_fill<S: AsyncRead + Unpin>(
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
                    Err(_) => Err(PumpError::Source),
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
                    // TLS holds records back until it is flushed, so flush whenever the source pauses.
                    if self.unflushed
                        && Pin::new(&mut *destination).poll_flush(cx).map_err(|_| PumpError::Destination)?.is_ready()
                    {
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// How far one direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Open,
    /// Its source ended; the end is on its way to the destination.
    Ending,
    /// Its end was passed on.
    Ended,
    /// Its destination takes nothing more. What comes the other way is still worth delivering: a server that
    /// answers early and closes is reported by a failing write before its answer has been read.
    Refused,
}

impl Direction {
    /// Passes an end on to `destination`.
    fn poll_end<D: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, destination: &mut D) {
        // Flushes what was written before.
        match Pin::new(destination).poll_shutdown(cx) {
            Poll::Ready(Ok(())) => *self = Direction::Ended,
            Poll::Ready(Err(_)) => *self = Direction::Refused,
            Poll::Pending => {}
        }
    }
}

/// Runs both pumps until the tunnel ends; see [`super::Env::relay`].
///
/// No `async fn`: that would keep room for every argument twice, and this future is most of what an idle tunnel costs.
pub(super) fn relay<C, U, Up, Down>(
    mut client: C,
    mut upstream: U,
    pumps: (Up, Down),
    limits: RelayLimits,
    traffic: Arc<Traffic>,
    stop: Stop,
) -> impl Future<Output = RelayEnd> + Send
where
    C: Duplex,
    U: Duplex,
    Up: Pump<C, U> + Send,
    Down: Pump<U, C> + Send,
{
    let (mut up, mut down) = pumps;
    async move {
        let end = {
            let mut timer = pin!(tokio::time::sleep(limits.idle));
            let mut stopped = pin!(stop.wait());
            let (mut going_up, mut going_down) = (Direction::Open, Direction::Open);
            let mut seen = (0, 0);
            let mut last = Instant::now();
            poll_fn(|cx| {
                if stopped.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(RelayEnd::Stopped);
                }
                let before = (going_up, going_down);
                if going_up == Direction::Open {
                    match up.poll_pump(cx, &mut client, &mut upstream, &traffic.up) {
                        Poll::Ready(Ok(())) => going_up = Direction::Ending,
                        Poll::Ready(Err(PumpError::Source)) => return Poll::Ready(RelayEnd::ClientReset),
                        Poll::Ready(Err(PumpError::Destination)) => going_up = Direction::Refused,
                        Poll::Pending => {}
                    }
                }
                if going_down == Direction::Open {
                    match down.poll_pump(cx, &mut upstream, &mut client, &traffic.down) {
                        Poll::Ready(Ok(())) => going_down = Direction::Ending,
                        Poll::Ready(Err(PumpError::Source)) => return Poll::Ready(RelayEnd::UpstreamReset),
                        Poll::Ready(Err(PumpError::Destination)) => going_down = Direction::Refused,
                        Poll::Pending => {}
                    }
                }
                match (going_up, going_down) {
                    // A failed write takes the reset's place, and the next read sees an end. It must not be passed
                    // on as one: what was cut would look whole.
                    (Direction::Refused, Direction::Ending) => return Poll::Ready(RelayEnd::UpstreamReset),
                    (Direction::Ending, Direction::Refused) => return Poll::Ready(RelayEnd::ClientReset),
                    _ => {}
                }
                if going_up == Direction::Ending {
                    going_up.poll_end(cx, &mut upstream);
                }
                if going_down == Direction::Ending {
                    going_down.poll_end(cx, &mut client);
                }
                match (going_up, going_down) {
                    (Direction::Ended, Direction::Ended) => return Poll::Ready(RelayEnd::Closed),
                    // It ended in order long before: a target that hangs up refuses what is sent then.
                    (Direction::Refused, Direction::Ended) => return Poll::Ready(RelayEnd::UpstreamClosed),
                    (Direction::Refused, Direction::Refused) => return Poll::Ready(RelayEnd::UpstreamReset),
                    (Direction::Ended, Direction::Refused) => return Poll::Ready(RelayEnd::ClientReset),
                    _ => {}
                }
                let half_closed = going_up != Direction::Open || going_down != Direction::Open;
                let limit = if half_closed { limits.half_closed } else { limits.idle };
                let counted = traffic.read();
                if counted != seen || before != (going_up, going_down) {
                    seen = counted;
                    last = Instant::now();
                    if half_closed && timer.deadline() > last + limit {
                        timer.as_mut().reset(last + limit);
                    }
                }
                // The timer is moved only when it fires, not with every byte.
                while timer.as_mut().poll(cx).is_ready() {
                    if last.elapsed() >= limit {
                        return Poll::Ready(if half_closed { RelayEnd::HalfClosedIdle } else { RelayEnd::Idle });
                    }
                    timer.as_mut().reset(last + limit);
                }
                Poll::Pending
            })
            .await
        };
        if end != RelayEnd::Closed {
            client.abort();
            upstream.abort();
        }
        end
    }
}

/// The relay for any two streams.
pub fn relay_buffered<C: Duplex, U: Duplex>(
    client: C,
    upstream: U,
    early: Early,
    limits: RelayLimits,
    traffic: Arc<Traffic>,
    stop: Stop,
) -> impl Future<Output = RelayEnd> + Send {
    // Copied, because an early byte's buffer is a whole head's and would be held for as long as the tunnel lasts.
    let pumps = (BufferPump::starting_with(&early.to_upstream), BufferPump::starting_with(&early.to_client));
    relay(client, upstream, pumps, limits, traffic, stop)
}

#[cfg(test)]
mod tests;
