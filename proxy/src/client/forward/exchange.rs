//! Sends one request on one upstream connection and reads the response up to the end of its head.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use crate::client::deadline::Deadline;
use crate::core::attribution::Failure;
use crate::core::failover::Limit;
use crate::env::Counter;
use crate::http::body::BodyError;
use crate::http::carry::{Carry, CarryError};
use crate::http::head::{Framing, HeadLimits, Method, ResponseHead, response_framing};
use crate::http::inbox::{Inbox, Outbox};
use crate::http::replies::{Replies, ReplyError};
use crate::http::via::Via;

use crate::upstream::failed::FailedAttempt;

use super::head::interim;

/// How long the body of a request with `Expect: 100-continue` waits for the upstream's word: one that does not know
/// the expectation never says it (RFC 9110 section 10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Why there is no response head.
pub(super) enum ExchangeError {
    /// The upstream or the target; another upstream may do better.
    Upstream(FailedAttempt),
    /// The client's connection failed.
    ClientGone(io::Error),
    /// The client's body ended early.
    BodyCut(io::Error),
    /// The client's body stood still.
    BodyTimeout,
    /// The client's body is malformed.
    Body(BodyError),
}

/// The client's side of an exchange.
pub(super) struct Client<'a, S> {
    pub(super) stream: &'a mut S,
    pub(super) inbox: &'a mut Inbox,
    pub(super) upload: &'a mut Carry,
    pub(super) go_ahead: &'a mut GoAhead,
    pub(super) sent: &'a Counter,
    /// For the time that the exchange may take.
    pub(super) deadline: &'a mut Deadline,
}

/// What a client hears before its final response: the 100 that tells it to send its body, once, whichever attempt brings
/// it, and the other interim responses as they come.
#[derive(Default)]
pub(super) struct GoAhead {
    given: bool,
    /// What has not gone out yet; it goes before anything else does.
    pub(super) unsent: Outbox,
}

impl GoAhead {
    fn give(&mut self) {
        if !self.given {
            self.given = true;
            self.unsent.push(CONTINUE);
        }
    }

    /// Passes an interim response on, unless the client is so slow that more than `limit` bytes of them wait already.
    fn pass_on(&mut self, interim: &[u8], limit: usize) {
        if self.unsent.len() + interim.len() <= limit {
            self.unsent.push(interim);
        }
    }
}

/// What bounds an exchange.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// From the request's last byte to the response's whole head.
    pub(super) reply: Limit,
    /// A body that moves no byte.
    pub(super) stall: Duration,
    pub(super) limits: HeadLimits,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) upgrade: bool,
    pub(super) expects_continue: bool,
    /// Interim responses are passed on with this in them; none are to a client of HTTP/1.0, which knows none.
    pub(super) interim: Option<&'a Via>,
}

/// A final response's head, with how its body is framed.
pub(super) struct Reply {
    pub(super) head: ResponseHead,
    pub(super) framing: Framing,
    /// The upstream may be sent what is left of the request's body.
    pub(super) takes_body: bool,
}

/// Sends `head` and the body, and reads the response's head; the body may still be on its way then.
pub(super) async fn exchange<S, L>(
    mut client: Client<'_, S>,
    (leg, leg_inbox): (&mut L, &mut Inbox),
    head: BytesMut,
    asked: Asked<'_>,
    bounds: Bounds,
) -> Result<Reply, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    L: AsyncRead + AsyncWrite + Unpin,
{
    let gate_open = !asked.expects_continue || client.go_ahead.given;
    let alone = if gate_open {
        client.upload.lead_with(head);
        None
    } else {
        Some(Outbox::holding(head))
    };
    let mut state = State { alone, gate_open, refused: None, replies: Replies::default(), client_ended: false };
    let mut gate = pin!((!state.gate_open).then(|| sleep(CONTINUE_WAIT)));
    let mut progress = None;
    poll_fn(|cx| {
        if !state.gate_open && gate.as_mut().as_pin_mut().is_none_or(|gate| gate.poll(cx).is_ready()) {
            state.gate_open = true;
            client.go_ahead.give();
        }
        if let Poll::Ready(done) = state.poll(cx, &mut client, (leg, leg_inbox), asked, bounds.limits) {
            return Poll::Ready(done);
        }
        let uploading = state.gate_open && state.refused.is_none() && !client.upload.is_finished();
        let now = Some((uploading, client.sent.get()));
        if now != progress {
            progress = now;
            client.deadline.set(if uploading { bounds.stall } else { bounds.reply.span });
        }
        if client.deadline.poll(cx).is_ready() {
            let clients = uploading && state.alone.is_none() && !client.upload.is_blocked();
            return Poll::Ready(Err(if clients {
                ExchangeError::BodyTimeout
            } else {
                let limit = bounds.reply;
                ExchangeError::Upstream(FailedAttempt::timed_out(limit.failure, "no reply", limit.span))
            }));
        }
        Poll::Pending
    })
    .await
}

struct State {
    /// Our head on its way to the upstream where the body is held back; else it leads the body.
    alone: Option<Outbox>,
    /// The body may go.
    gate_open: bool,
    /// Why the upstream takes no more of the request; what it says is still worth reading.
    refused: Option<io::Error>,
    replies: Replies,
    client_ended: bool,
}

/// A response's head.
enum Heard {
    Interim(ResponseHead),
    Final(Reply),
}

impl State {
    /// Whether the next bytes the upstream gets are of the body.
    fn takes_body(&self) -> bool {
        self.alone.is_none() && self.gate_open && self.refused.is_none()
    }

    fn poll<S, L>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client<'_, S>,
        (leg, leg_inbox): (&mut L, &mut Inbox),
        asked: Asked<'_>,
        limits: HeadLimits,
    ) -> Poll<Result<Reply, ExchangeError>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        L: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            if self.refused.is_none()
                && let Some(head) = &mut self.alone
            {
                match head.poll_send(cx, leg) {
                    Poll::Ready(Ok(())) => self.alone = None,
                    Poll::Ready(Err(error)) => self.refused = Some(error),
                    Poll::Pending => {}
                }
            }
            if let Poll::Ready(Err(error)) = client.go_ahead.unsent.poll_send(cx, client.stream) {
                return Poll::Ready(Err(ExchangeError::ClientGone(error)));
            }
            if self.takes_body() && !client.upload.is_finished() {
                match client.upload.poll(cx, (client.inbox, client.stream), leg, client.sent) {
                    Poll::Pending | Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(CarryError::Destination(error))) => self.refused = Some(error),
                    Poll::Ready(Err(CarryError::Source(error))) => {
                        return Poll::Ready(Err(ExchangeError::BodyCut(error)));
                    }
                    Poll::Ready(Err(CarryError::Malformed(error))) => {
                        return Poll::Ready(Err(ExchangeError::Body(error)));
                    }
                }
            }
            match self.poll_reply(cx, (leg, leg_inbox), asked, limits) {
                Poll::Ready(Ok(Heard::Final(reply))) => return Poll::Ready(Ok(reply)),
                Poll::Ready(Ok(Heard::Interim(head))) => {
                    // The body may go, if it has not gone already.
                    self.gate_open |= head.status == 100;
                    match asked.interim {
                        Some(_) if head.status == 100 => client.go_ahead.give(),
                        Some(via) => client.go_ahead.pass_on(&interim(head, via), limits.max_bytes),
                        None => {}
                    }
                    continue;
                }
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(ExchangeError::Upstream(failure))),
                Poll::Pending => {}
            }
            let watching =
                client.upload.is_finished() && !self.client_ended && client.inbox.bytes.len() < limits.max_bytes;
            if watching {
                match client.inbox.poll_fill_head(cx, client.stream) {
                    Poll::Ready(Ok(0)) => self.client_ended = true,
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(ExchangeError::ClientGone(error))),
                    Poll::Pending => {}
                }
            }
            return Poll::Pending;
        }
    }

    fn poll_reply<L: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        leg: (&mut L, &mut Inbox),
        asked: Asked<'_>,
        limits: HeadLimits,
    ) -> Poll<Result<Heard, FailedAttempt>> {
        let mut head = match std::task::ready!(self.replies.poll_next(cx, leg, limits)) {
            Ok(head) => head,
            // A write that failed has met the reset, and then reading finds but an end.
            Err(error) => {
                return Poll::Ready(Err(match (error, self.refused.take()) {
                    (ReplyError::Closed, Some(refused)) => FailedAttempt::new(Failure::ResetBeforeHead, refused),
                    (error, _) => FailedAttempt::reply(error, limits),
                }));
            }
        };
        let framing =
            response_framing(&mut head, asked.method).map_err(|error| FailedAttempt::malformed(error, limits))?;
        Poll::Ready(match head.status {
            101 if asked.upgrade && is_websocket(&head) => Ok(Heard::Final(Reply { head, framing, takes_body: false })),
            // Nothing was asked to be switched, or something else was switched to.
            101 => Err(FailedAttempt::switched()),
            _ if head.is_interim() => Ok(Heard::Interim(head)),
            _ => Ok(Heard::Final(Reply { head, framing, takes_body: self.takes_body() })),
        })
    }
}

fn is_websocket(head: &ResponseHead) -> bool {
    head.fields.contains_token("upgrade", "websocket") && head.fields.contains_token("connection", "upgrade")
}

#[cfg(test)]
mod tests;
