//! Relays both directions of a tunnel in one small future. `pump` carries the bytes of each direction.
//!
//! A pump owns nothing while its source is dry. An idle tunnel therefore costs its two sockets and this future.

pub(super) mod pump;

use std::future::poll_fn;
use std::io;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::coop::has_budget_remaining;
use tokio::time::timeout;

use super::{Duplex, Stop, Traffic};
use pump::{BufferPump, Pump, PumpError, Refusal, give_buffer, take_buffer};

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
    /// The upstream ended in order and took nothing more: what a target does that hangs up, so nobody's failure. What
    /// it had sent was delivered.
    UpstreamClosed,
    /// [`RelayLimits::idle`] passed.
    Idle,
    /// [`RelayLimits::half_closed`] passed.
    HalfClosedIdle,
    /// The stop signal fired, or somebody closed it ([`Traffic::close`]); both sides were reset.
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

/// How a relay ended, and why.
#[derive(Debug)]
pub struct Relayed {
    /// How.
    pub end: RelayEnd,
    /// Of a side that failed the system's or a library's words; of a limit that passed which one; that it was closed by
    /// hand.
    pub cause: Option<io::Error>,
}

impl Relayed {
    fn timed_out(end: RelayEnd, limit: Duration) -> Self {
        let text = format!("no byte either way within {}", humantime::format_duration(limit));
        Relayed { end, cause: Some(io::Error::new(io::ErrorKind::TimedOut, text)) }
    }

    fn closed_by_hand() -> Self {
        Relayed { end: RelayEnd::Stopped, cause: Some(io::Error::other("closed by hand")) }
    }
}

impl From<RelayEnd> for Relayed {
    fn from(end: RelayEnd) -> Self {
        Relayed { end, cause: None }
    }
}

/// Why a side took nothing more, or brought nothing more.
#[derive(Default)]
struct Failed {
    client: Option<io::Error>,
    upstream: Option<io::Error>,
}

impl Failed {
    /// An `end`, with the error of the side that it is about.
    fn relayed(&mut self, end: RelayEnd) -> Relayed {
        let cause = match end {
            RelayEnd::ClientReset => self.client.take(),
            RelayEnd::UpstreamReset => self.upstream.take(),
            _ => None,
        };
        Relayed { end, cause }
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
    /// Its destination was reset. What comes the other way is still worth delivering: a server that answers early and
    /// closes is reported by a failing write before its answer has been read.
    Refused,
    /// Its destination ended in order and takes nothing more. What its source still sends is read and thrown away:
    /// left unread it would turn our end into a reset, which takes what the other direction has sent with it.
    Discarding,
    /// The same, and its source has ended too, or has sent too much to be worth reading.
    Discarded,
}

/// A tunnel that is older is worth the calls by which a vanished peer is noticed.
const YOUNG: Duration = Duration::from_secs(30);

/// Thrown away at most of one direction whose destination is gone.
const MAX_DISCARDED: usize = 64 * 1024 * 1024;

impl Direction {
    /// Passes an end on to `destination`; its error goes to `failed`. `other` is the direction that comes from there.
    fn poll_end<D: Duplex>(
        &mut self,
        cx: &mut Context<'_>,
        destination: &mut D,
        other: Direction,
        failed: &mut Option<io::Error>,
    ) {
        // With this the tunnel is over, and both are dropped.
        if D::ENDS_WHEN_DROPPED && other == Direction::Ended {
            *self = Direction::Ended;
            return;
        }
        // Flushes what was written before.
        match Pin::new(destination).poll_shutdown(cx) {
            Poll::Ready(Ok(())) => *self = Direction::Ended,
            Poll::Ready(Err(error)) => {
                *self = Direction::Refused;
                *failed = Some(error);
            }
            Poll::Pending => {}
        }
    }

    /// Its destination takes nothing more; `other` is the direction that comes from there.
    fn refuse(&mut self, refusal: Refusal, other: Direction) {
        let in_order = refusal == Refusal::Closed || matches!(other, Direction::Ending | Direction::Ended);
        *self = if in_order { Direction::Discarding } else { Direction::Refused };
    }

    /// Reads what nobody takes any more.
    fn poll_discard<S: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, source: &mut S, discarded: &mut usize) {
        let mut buffer = take_buffer();
        while *discarded < MAX_DISCARDED {
            let mut target = ReadBuf::new(&mut buffer);
            match Pin::new(&mut *source).poll_read(cx, &mut target) {
                Poll::Ready(Ok(())) if !target.filled().is_empty() => *discarded += target.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending => return give_buffer(buffer),
            }
        }
        *self = Direction::Discarded;
        give_buffer(buffer);
    }
}

/// Runs both pumps until the tunnel ends; see [`super::Env::relay`].
///
/// No `async fn`: that would keep room for every argument twice, and this future is most of what an idle tunnel costs.
pub(super) fn relay<C, U, Up, Down, T>(
    mut client: C,
    mut upstream: U,
    pumps: (Up, Down),
    limits: RelayLimits,
    traffic: T,
    stop: Stop,
) -> impl Future<Output = Relayed> + Send
where
    C: Duplex,
    U: Duplex,
    Up: Pump<C, U> + Send,
    Down: Pump<U, C> + Send,
    T: Deref<Target = Traffic> + Send + Sync,
{
    let (mut up, mut down) = pumps;
    async move {
        let relayed = {
            let mut timer = pin!(tokio::time::sleep(limits.idle.min(YOUNG)));
            let mut is_watched = false;
            let mut stopped = pin!(stop.wait());
            // Whom the two above wake. They are polled again only for another one or when they may be ready: each poll of
            // the signal takes a lock that all tunnels share.
            let mut registered: Option<Waker> = None;
            let (mut going_up, mut going_down) = (Direction::Open, Direction::Open);
            let (mut seen, mut discarded) = ((0, 0), 0);
            traffic.moves();
            let mut failed = Failed::default();
            poll_fn(|cx| {
                let is_known = registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
                if !is_known {
                    registered = None;
                    traffic.register(cx.waker());
                }
                if traffic.is_closed() || stop.fired() || (!is_known && stopped.as_mut().poll(cx).is_ready()) {
                    return Poll::Ready(RelayEnd::Stopped.into());
                }
                let before = (going_up, going_down);
                if going_up == Direction::Open {
                    match up.poll_pump(cx, &mut client, &mut upstream, &traffic.up) {
                        Poll::Ready(Ok(())) => going_up = Direction::Ending,
                        Poll::Ready(Err(PumpError::Source(error))) => {
                            failed.client = Some(error);
                            return Poll::Ready(failed.relayed(RelayEnd::ClientReset));
                        }
                        Poll::Ready(Err(PumpError::Destination(refusal, error))) => {
                            failed.upstream = Some(error);
                            going_up.refuse(refusal, going_down);
                        }
                        Poll::Pending => {}
                    }
                }
                if going_down == Direction::Open {
                    match down.poll_pump(cx, &mut upstream, &mut client, &traffic.down) {
                        Poll::Ready(Ok(())) => {
                            going_down = Direction::Ending;
                            if going_up == Direction::Open {
                                traffic.upstream_ended_first.store(true, Ordering::Relaxed);
                            }
                        }
                        Poll::Ready(Err(PumpError::Source(error))) => {
                            failed.upstream = Some(error);
                            return Poll::Ready(failed.relayed(RelayEnd::UpstreamReset));
                        }
                        Poll::Ready(Err(PumpError::Destination(refusal, error))) => {
                            failed.client = Some(error);
                            going_down.refuse(refusal, going_up);
                        }
                        Poll::Pending => {}
                    }
                }
                match (going_up, going_down) {
                    // A failed write takes the reset's place, and the next read sees an end. It must not be passed
                    // on as one: what was cut would look whole.
                    (Direction::Refused, Direction::Ending) => {
                        return Poll::Ready(failed.relayed(RelayEnd::UpstreamReset));
                    }
                    (Direction::Ending, Direction::Refused) => {
                        return Poll::Ready(failed.relayed(RelayEnd::ClientReset));
                    }
                    _ => {}
                }
                if going_up == Direction::Ending {
                    going_up.poll_end(cx, &mut upstream, going_down, &mut failed.upstream);
                }
                if going_down == Direction::Ending {
                    going_down.poll_end(cx, &mut client, going_up, &mut failed.client);
                }
                if going_up == Direction::Discarding {
                    going_up.poll_discard(cx, &mut client, &mut discarded);
                }
                if going_down == Direction::Discarding {
                    going_down.poll_discard(cx, &mut upstream, &mut discarded);
                }
                if let Some(end) = ended(going_up, going_down) {
                    return Poll::Ready(failed.relayed(end));
                }
                let half_closed = going_up != Direction::Open || going_down != Direction::Open;
                let limit = if half_closed { limits.half_closed } else { limits.idle };
                let counted = traffic.read();
                if counted != seen || before != (going_up, going_down) {
                    seen = counted;
                    let last = traffic.moves();
                    if half_closed && timer.deadline() > last + limit {
                        registered = None;
                        timer.as_mut().reset(last + limit);
                    } else if is_known && timer.deadline() > last {
                        return Poll::Pending;
                    }
                }
                // The timer is moved only when it fires, not with every byte.
                while timer.as_mut().poll(cx).is_ready() {
                    if !std::mem::replace(&mut is_watched, true) {
                        client.watch();
                        upstream.watch();
                    }
                    let last = traffic.last_moved();
                    if last.elapsed() >= limit {
                        return Poll::Ready(match (going_up, going_down) {
                            (Direction::Discarding, Direction::Ended) => RelayEnd::UpstreamClosed.into(),
                            _ if half_closed => Relayed::timed_out(RelayEnd::HalfClosedIdle, limit),
                            _ => Relayed::timed_out(RelayEnd::Idle, limit),
                        });
                    }
                    registered = None;
                    timer.as_mut().reset(last + limit);
                }
                // The timer does not register a task that has used up its budget.
                if registered.is_none() && has_budget_remaining() {
                    registered = Some(cx.waker().clone());
                }
                Poll::Pending
            })
            .await
        };
        let relayed = if traffic.end() { relayed } else { Relayed::closed_by_hand() };
        match relayed.end {
            // Dropping them closes our side alone.
            RelayEnd::Closed | RelayEnd::UpstreamClosed => {}
            RelayEnd::UpstreamReset => {
                upstream.abort();
                abort_once_sent(client, limits.half_closed, stop).await;
            }
            RelayEnd::ClientReset => {
                client.abort();
                abort_once_sent(upstream, limits.half_closed, stop).await;
            }
            RelayEnd::Idle | RelayEnd::HalfClosedIdle | RelayEnd::Stopped => {
                client.abort();
                upstream.abort();
            }
        }
        relayed
    }
}

/// Passes a reset on behind what had come before it, as it would come without us, but no later than `limit`.
async fn abort_once_sent<S: Duplex>(stream: S, limit: Duration, stop: Stop) {
    tokio::select! {
        biased;
        () = stop.wait() => {}
        _ = timeout(limit, stream.sent()) => {}
    }
    stream.abort();
}

/// How a relay ends whose directions have come this far, if it does.
fn ended(up: Direction, down: Direction) -> Option<RelayEnd> {
    use Direction::{Discarded, Discarding, Ended, Refused};
    match (up, down) {
        (Ended, Ended) => Some(RelayEnd::Closed),
        // Its end came in order and was passed on.
        (Refused | Discarded, Ended) => Some(RelayEnd::UpstreamClosed),
        (Refused, Refused | Discarding | Discarded) => Some(RelayEnd::UpstreamReset),
        (Ended, Refused | Discarded) | (Discarding | Discarded, Refused | Discarding | Discarded) => {
            Some(RelayEnd::ClientReset)
        }
        _ => None,
    }
}

/// The relay for any two streams.
pub fn relay_buffered<C: Duplex, U: Duplex>(
    client: C,
    upstream: U,
    early: Early,
    limits: RelayLimits,
    traffic: impl Deref<Target = Traffic> + Send + Sync,
    stop: Stop,
) -> impl Future<Output = Relayed> + Send {
    // Copied, because an early byte's buffer is a whole head's and would be held for as long as the tunnel lasts.
    let pumps = (BufferPump::starting_with(&early.to_upstream), BufferPump::starting_with(&early.to_client));
    relay(client, upstream, pumps, limits, traffic, stop)
}

#[cfg(test)]
mod tests;
