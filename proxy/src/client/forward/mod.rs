//! Serves one plain HTTP request: sends it to an upstream and passes the response back.
//!
//! It is tried again elsewhere only where nothing of it was acted on, or where acting on it twice does no harm: where
//! it was not sent, or none of its body was taken and its method is idempotent, or its body waited for a 100. Until a response's head goes to the client nothing is lost by that.

mod exchange;
mod head;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::client::connection::{Connection, NextStep};
use crate::client::error::{Answer, ErrorReply, ProxyStatus, RequestError};
use crate::client::request::{Origin, Request};
use crate::context::{Context, Settings};
use crate::core::attribution::{Blame, Failure, Service};
use crate::core::failover::Allowance;
use crate::core::time::Timestamp;
use crate::env::{Duplex, Env};
use crate::event::Phase;
use crate::http::authority::Authority;
use crate::http::body::{BodyCodec, BodyRules};
use crate::http::carry::{Carry, CarryError};
use crate::http::head::{Framing, Kind, RequestHead, Version};
use crate::http::inbox::{Inbox, client_reset};
use crate::upstream::attempts::Attempts;
use crate::upstream::clock::PhaseClock;
use crate::upstream::dial::{self, DialSettings};
use crate::upstream::failed::{FailedAttempt, told};
use crate::upstream::leg::Leg;
use crate::upstream::pool::Lease;
use exchange::{Asked, Bounds, Client, ExchangeError, GoAhead, Reply, exchange};
use head::{Outgoing, belongs_to_its_client, incoming, is_reusable, last_hop};

/// Statuses by which a gateway says that it could not reach the target: another upstream may.
const GATEWAY: [u16; 3] = [502, 503, 504];

/// A plain-HTTP request on its way.
struct Forward<'a, E: Env> {
    connection: &'a mut Connection<E>,
    settings: &'a Arc<Settings>,
    head: RequestHead,
    framing: Framing,
    outgoing: Outgoing,
    upload: Carry,
    go_ahead: GoAhead,
    request: Request<E>,
}

/// A response's head and the connection that its body is still on.
struct Answered<E: Env> {
    reply: Reply,
    leg: Leg<E::Stream>,
    inbox: Inbox,
}

/// What became of the rest of a request's body while its response was passed on.
enum Upload {
    /// Sent, or left where it was.
    Left,
    /// The upstream took no more of it.
    Refused(io::Error),
}

/// How passing a response on went wrong: the word for it, whose fault it was, and why.
type Broken = (&'static str, Blame, Arc<str>);

/// Serves one plain-HTTP request.
pub(crate) async fn forward<E: Env>(
    connection: &mut Connection<E>,
    settings: &Arc<Settings>,
    mut head: RequestHead,
    framing: Framing,
    (authority, absolute): (Authority, String),
    origin: Origin,
) -> NextStep<E> {
    let close = framing != Framing::None || connection.must_close(&head);
    let answer = |context: &Context<E>| Answer { close, with_body: true, wall: context.env.wall() };
    if let Some(response) = last_hop(&mut head, || answer(&connection.context)) {
        connection.answer(&response).await;
        return if close { NextStep::Linger } else { NextStep::NextRequest };
    }
    let pool = Arc::clone(&connection.context.pool);
    let now = pool.now();
    let mut attempts = Attempts::begin(&pool, origin.request, (Service::Page, Arc::clone(&origin.target)), now);
    let mut forward = Forward {
        outgoing: Outgoing::new(settings, &head, framing, &authority, &absolute),
        upload: Carry::new(BodyCodec::new(framing, BodyRules::new(Kind::Request, &head.fields, settings.limits))),
        go_ahead: GoAhead::default(),
        request: Request::begin(&connection.context, origin, now),
        connection,
        settings,
        head,
        framing,
    };
    loop {
        let Some((lease, allowance)) = attempts.next() else { return forward.give_up(attempts).await };
        forward.request.goes_through(&lease, lease.attempt().started);
        match forward.attempt(&lease, &mut attempts.clock, &allowance).await {
            Ok(mut answered) => {
                let status = answered.reply.head.status;
                let doubtful = GATEWAY.contains(&status);
                // Whether the upstream asks for credentials or a target that wants to be taken for one, the client must
                // not hear of it: it would answer with those that it has for us.
                if status == 407 {
                    attempts.failed(lease, Failure::Status(status));
                    if !forward.may_try_again() || forward.client_has_left().await {
                        return forward.give_up(attempts).await;
                    }
                    continue;
                }
                if doubtful && forward.may_try_again() && attempts.has_next() && !forward.client_has_left().await {
                    attempts.failed(lease, Failure::Status(status));
                    continue;
                }
                let (lease, record) = if doubtful { attempts.relayed(lease, status) } else { attempts.opened(lease) };
                if doubtful {
                    let ours = ProxyStatus::relayed(status, record.attempts).to_string();
                    answered.reply.head.fields.push("Proxy-Status", ours);
                }
                forward.request.succeeded(record, status);
                if answered.reply.head.status == 101 {
                    return forward.switch(answered, lease).await;
                }
                return forward.deliver(answered, lease).await;
            }
            Err((ExchangeError::Upstream(failed), sent)) => {
                attempts.failed(lease, failed);
                if sent && (!forward.may_try_again() || forward.client_has_left().await) {
                    return forward.give_up(attempts).await;
                }
            }
            Err((error, _)) => {
                drop(lease);
                return forward.client_failed(error, attempts).await;
            }
        }
    }
}

impl<E: Env> Forward<'_, E> {
    /// Whether the request can be sent once more: none of its body is gone, and either nobody acted on the request without
    /// the body, or acting twice does no harm.
    fn may_try_again(&self) -> bool {
        !self.upload.is_started() && (self.head.method.is_idempotent() || self.outgoing.expects_continue)
    }

    /// How long the kept connection that this request takes may have been idle. It may be closing at this moment, which only
    /// what can be sent twice survives; the longer it was idle, the likelier.
    fn may_be_idle_for(&self) -> Duration {
        let timeouts = &self.settings.config.timeouts;
        if self.framing == Framing::None && self.may_try_again() {
            timeouts.pool_idle
        } else {
            timeouts.pool_idle.min(timeouts.pool_idle_unrepeatable)
        }
    }

    /// The client ended its side. It may still wait for an answer, but one that has gone looks the same, so nobody else is
    /// asked for it.
    async fn client_has_left(&mut self) -> bool {
        let Connection { stream, inbox, .. } = &mut *self.connection;
        if inbox.bytes.len() >= self.settings.limits.max_bytes {
            return false;
        }
        let read = poll_fn(|cx| Poll::Ready(inbox.poll_fill_head(cx, stream)));
        matches!(read.await, Poll::Ready(Ok(0) | Err(_)))
    }

    /// Makes one attempt. A failure says whether anything of the request was sent.
    async fn attempt(
        &mut self,
        lease: &Lease<E>,
        clock: &mut PhaseClock,
        allowance: &Allowance,
    ) -> Result<Answered<E>, (ExchangeError, bool)> {
        if let Some(leg) = lease.take_kept(self.may_be_idle_for()).await {
            // No time has passed since.
            match self.exchange(leg, (lease, &mut *clock), allowance, lease.attempt().started).await {
                Err(ExchangeError::Upstream(FailedAttempt {
                    failure: Failure::ClosedBeforeHead | Failure::ResetBeforeHead,
                    ..
                })) if self.may_try_again() => {}
                done => return done.map_err(|error| (error, true)),
            }
        }
        let Connection { context, stream, inbox, .. } = &mut *self.connection;
        let dial_settings =
            DialSettings { limits: self.settings.limits, dns: self.settings.config.timeouts.dns, via: None };
        let connected = tokio::select! {
            biased;
            connected = dial::connect(&context.pool, &context.env, (&lease.upstream, &mut *clock), allowance, dial_settings) => connected,
            error = client_reset(stream, inbox, self.settings.limits.max_bytes) => {
                return Err((ExchangeError::ClientGone(error), false));
            }
        };
        match connected {
            Ok(leg) => {
                let now = self.connection.context.pool.now();
                self.exchange(leg, (lease, clock), allowance, now).await.map_err(|error| (error, true))
            }
            Err(failed) => Err((ExchangeError::Upstream(failed), false)),
        }
    }

    async fn exchange(
        &mut self,
        mut leg: Leg<E::Stream>,
        (lease, clock): (&Lease<E>, &mut PhaseClock),
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<Answered<E>, ExchangeError> {
        clock.enter(Phase::Reply, now);
        let mut inbox = Inbox::default();
        let client = Client {
            stream: &mut self.connection.stream,
            inbox: &mut self.connection.inbox,
            upload: &mut self.upload,
            go_ahead: &mut self.go_ahead,
            sent: &self.request.carried.up,
            deadline: &mut self.connection.deadline,
        };
        let asked = Asked {
            method: &self.head.method,
            upgrade: self.outgoing.upgrade,
            expects_continue: self.outgoing.expects_continue,
            interim: (self.head.version == Version::Http11).then_some(&self.settings.via),
        };
        let bounds = Bounds {
            reply: allowance.reply(now),
            stall: self.settings.config.timeouts.body,
            limits: self.settings.limits,
        };
        let head = self.outgoing.write(&lease.upstream);
        let reply = exchange(client, (&mut leg, &mut inbox), head, asked, bounds).await?;
        Ok(Answered { reply, leg, inbox })
    }

    /// Passes the response on, with what is left of the request's body beside it.
    ///
    /// It takes no more than a borrow, since all of this is a kilobyte.
    async fn deliver(&mut self, answered: Answered<E>, lease: Lease<E>) -> NextStep<E> {
        let Answered { reply: Reply { head, framing, takes_body }, mut leg, mut inbox } = answered;
        let mut close = self.connection.must_close(&self.head)
            || framing == Framing::UntilClose
            // It is not known here whether the upstream will still want the rest of the body.
            || !self.upload.is_finished();
        let reusable = is_reusable(&head, framing) && !belongs_to_its_client(&self.head, &head);
        let client = self.head.version;
        close |= client == Version::Http10;
        let rules = BodyRules::new(Kind::Response, &head.fields, self.settings.limits);
        let codec = if client == Version::Http10 {
            BodyCodec::unchunking(framing, rules)
        } else {
            BodyCodec::new(framing, rules)
        };
        let mut out = self.go_ahead.unsent.take_rest();
        out.unsplit(incoming(self.settings, &head, client, (close, self.connection.context.env.wall())));
        let ends = close && self.upload.is_finished() && self.connection.sends_no_more(&self.head);
        if ends && !framing.is_longer_than(inbox.bytes.len()) {
            self.connection.stream.say_last();
        }
        let mut down = Carry::behind(out, codec);
        let carried = match self.carry(&mut down, (&mut leg, &mut inbox), takes_body).await {
            // The failed write may have taken the reset's place, so that the end seen need not be the body's.
            Ok(Upload::Refused(error)) if framing == Framing::UntilClose => {
                Err(("reply_cut", Blame::Unknown, told(error)))
            }
            carried => carried,
        };
        match carried {
            Ok(_) => {
                if reusable && inbox.is_empty() && self.upload.is_finished() {
                    lease.keep(leg, self.settings.config.limits.pool_per_upstream);
                }
                if !close {
                    NextStep::NextRequest
                } else if self.upload.is_finished() && self.connection.sends_no_more(&self.head) {
                    NextStep::Close
                } else {
                    NextStep::Linger
                }
            }
            Err((outcome, blame, cause)) => {
                if blame != Blame::Client {
                    lease.broke_off(outcome, Some(Arc::clone(&cause)));
                }
                self.request.fail_after_verdict(outcome, blame, cause);
                NextStep::Abort
            }
        }
    }

    async fn carry(
        &mut self,
        down: &mut Carry,
        (leg, inbox): (&mut Leg<E::Stream>, &mut Inbox),
        takes_body: bool,
    ) -> Result<Upload, Broken> {
        let Forward { connection, upload, request, settings, .. } = self;
        let stall = settings.config.timeouts.body;
        let traffic = request.carried.clone();
        // A body that has come with its head is gone before there is a deadline to set.
        let mut seen = None;
        let mut uploading = takes_body && !upload.is_finished();
        let mut end = Upload::Left;
        poll_fn(|cx| {
            if uploading {
                match upload.poll(cx, (&mut connection.inbox, &mut connection.stream), leg, &traffic.up) {
                    Poll::Pending => {}
                    // An upstream that answers early need not take the rest, and a client that has its answer need
                    // not send it.
                    Poll::Ready(carried) => {
                        uploading = false;
                        if let Err(CarryError::Destination(error)) = carried {
                            end = Upload::Refused(error);
                        }
                    }
                }
            }
            match down.poll(cx, (inbox, leg), &mut connection.stream, &traffic.down) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(std::mem::replace(&mut end, Upload::Left))),
                Poll::Ready(Err(CarryError::Destination(error))) => {
                    return Poll::Ready(Err(("client_gone", Blame::Client, told(error))));
                }
                Poll::Ready(Err(CarryError::Source(error))) => {
                    return Poll::Ready(Err(("reply_cut", Blame::Unknown, told(error))));
                }
                Poll::Ready(Err(CarryError::Malformed(error))) => {
                    return Poll::Ready(Err(("reply_malformed", Blame::Unknown, told(error))));
                }
                Poll::Pending => {}
            }
            let now = Some(traffic.read());
            if now != seen {
                seen = now;
                connection.deadline.set(stall);
            }
            if connection.deadline.poll(cx).is_ready() {
                let blame = if down.is_blocked() { Blame::Client } else { Blame::Unknown };
                let cause = told(format_args!("no byte within {}", humantime::format_duration(stall)));
                return Poll::Ready(Err(("body_timeout", blame, cause)));
            }
            Poll::Pending
        })
        .await
    }

    /// Makes the connection a WebSocket: bytes both ways from here on.
    async fn switch(self, answered: Answered<E>, lease: Lease<E>) -> NextStep<E> {
        let Answered { reply, leg, mut inbox } = answered;
        let head = incoming(self.settings, &reply.head, self.head.version, (false, self.connection.context.env.wall()));
        let connection = self.connection;
        connection.become_tunnel(self.settings, &head, (leg, inbox.take_rest()), self.request, lease).await
    }

    /// Answers after no upstream brought a response.
    async fn give_up(mut self, attempts: Attempts<E>) -> NextStep<E> {
        let close = self.framing != Framing::None || self.connection.must_close(&self.head);
        let error = RequestError::NoUpstreamOpened(attempts.none_opened());
        let reply = error.reply();
        if let RequestError::NoUpstreamOpened(record) = error {
            self.request.failed(record, &reply);
        }
        self.answer(&reply, close).await;
        if close { NextStep::Linger } else { NextStep::NextRequest }
    }

    /// Ends the request after the client's own side failed.
    async fn client_failed(mut self, error: ExchangeError, attempts: Attempts<E>) -> NextStep<E> {
        let record = attempts.none_opened();
        let (error, cause) = match error {
            ExchangeError::ClientGone(error) => {
                self.request.client_failed(record, None, Some(told(error)));
                return NextStep::Abort;
            }
            // Those are the attempts'.
            ExchangeError::Upstream(failed) => {
                self.request.client_failed(record, None, failed.cause);
                return NextStep::Abort;
            }
            ExchangeError::BodyCut(error) => (RequestError::BodyCut, Some(told(error))),
            ExchangeError::BodyTimeout => (RequestError::BodyTimeout, None),
            ExchangeError::Body(error) => (RequestError::Body(error), Some(told(error))),
        };
        let reply = error.reply();
        self.request.client_failed(record, Some(&reply), cause);
        self.answer(&reply, true).await;
        NextStep::Linger
    }

    async fn answer(&mut self, reply: &ErrorReply, close: bool) {
        let mut out = self.go_ahead.unsent.take_rest();
        out.unsplit(reply.response(close, !self.head.method.is_head(), self.connection.context.env.wall()));
        self.connection.answer(&out).await;
    }
}
