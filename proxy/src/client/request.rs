//! Follows one request from its complete head to its end, counts it once and reports it once.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::client::error::ErrorReply;
use crate::context::{Carried, Connections, Context};
use crate::core::attribution::Blame;
use crate::core::time::Timestamp;
use crate::env::{Counter, Env, RelayEnd, Traffic};
use crate::event::{Event, RequestId, Summary};
use crate::upstream::attempts::{AttemptsRecord, Failed};
use crate::upstream::pool::{Lease, Pool};

/// A request that needs an upstream. If it is dropped without a verdict, it failed because the client went away or
/// because the drain deadline passed.
pub(crate) struct Request<E: Env> {
    pool: Arc<Pool<E>>,
    connections: Arc<Connections>,
    started: Timestamp,
    /// The bytes carried. Once an upstream is found, they count into its sums as well.
    pub(crate) carried: Carried,
    summary: Summary,
    has_verdict: bool,
}

/// What is known of a request before an upstream is picked.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) request: RequestId,
    pub(crate) client: SocketAddr,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) method: Cow<'static, str>,
    /// `host:port`, or `-`.
    pub(crate) target: Arc<str>,
    /// Of the settings that it began with.
    pub(crate) config_epoch: u64,
}

impl Origin {
    fn into_summary(self) -> Summary {
        Summary {
            request: self.request,
            client: self.client,
            user: self.user,
            method: self.method,
            target: self.target,
            config_epoch: self.config_epoch,
            status: 0,
            outcome: "client_gone",
            blame: Some(Blame::Client),
            attempt: None,
            failed_attempts: Vec::new(),
            cause: None,
            attempts: 0,
            bytes_up: 0,
            bytes_down: 0,
            latency: Duration::ZERO,
            duration: Duration::ZERO,
            end: None,
        }
    }
}

/// Counts and reports a request that was refused for what it asks or who asks it.
pub(crate) fn rejected<E: Env>(pool: &Pool<E>, origin: Origin, reply: &ErrorReply) {
    pool.stats.request_rejected();
    let mut summary = origin.into_summary();
    (summary.status, summary.outcome, summary.blame) = (reply.status, reply.token, Some(reply.blame));
    pool.emit(&Event::Finished(&summary));
}

impl<E: Env> Request<E> {
    /// Begins a request whose head is complete and which was let in at `started`.
    pub(crate) fn begin(context: &Context<E>, origin: Origin, started: Timestamp) -> Self {
        let pool = &context.pool;
        pool.stats.requests.entered();
        let summary = origin.into_summary();
        Request {
            pool: Arc::clone(pool),
            connections: Arc::clone(&context.connections),
            started,
            carried: Carried::new(
                &summary,
                None,
                Traffic::begun_at(pool.instant(started), Counter::default(), Counter::default()),
            ),
            summary,
            has_verdict: false,
        }
    }

    /// Counts the bytes for this upstream from `now` on.
    pub(crate) fn goes_through(&mut self, lease: &Lease<E>, now: Timestamp) {
        let (figures, label) = (&lease.upstream.figures, &lease.upstream.label);
        let count = |sum| Counter::within(Arc::clone(sum));
        let traffic = Traffic::begun_at(self.pool.instant(now), count(&figures.bytes_up), count(&figures.bytes_down));
        if let Err(traffic) = self.carried.goes_through(label, traffic) {
            self.carried = Carried::new(&self.summary, Some(Arc::clone(label)), traffic);
        }
    }

    /// It is an open tunnel from now on, until its end.
    pub(crate) fn becomes_tunnel(&self) {
        self.connections.tunnels.enter(&self.carried);
    }

    /// What a CONNECT asked for; `None` of any other request.
    pub(crate) fn tunnel_target(&self) -> Option<&str> {
        (self.summary.method == "CONNECT").then_some(&*self.summary.target)
    }

    /// The request succeeded: an upstream opened the target, or brought a response head.
    pub(crate) fn succeeded(&mut self, record: AttemptsRecord, status: u16) {
        let now = record.opened.unwrap_or_else(|| self.pool.now());
        self.note(record);
        (self.summary.status, self.summary.outcome, self.summary.blame) = (status, "ok", None);
        self.reach_verdict(true, now);
    }

    /// The request failed: no upstream opened the target.
    pub(crate) fn failed(&mut self, record: AttemptsRecord, reply: &ErrorReply) {
        self.note(record);
        (self.summary.status, self.summary.outcome, self.summary.blame) =
            (reply.status, reply.token, Some(reply.blame));
        self.reach_verdict(false, self.pool.now());
    }

    /// The client went away, or sent what can't be passed on, before there was a verdict.
    pub(crate) fn client_failed(
        &mut self,
        record: AttemptsRecord,
        reply: Option<&ErrorReply>,
        cause: Option<Arc<str>>,
    ) {
        if let Some(reply) = reply {
            (self.summary.status, self.summary.outcome, self.summary.blame) =
                (reply.status, reply.token, Some(reply.blame));
        }
        self.note(record);
        self.because(cause);
        self.reach_verdict(false, self.pool.now());
    }

    /// Something went wrong behind the verdict.
    pub(crate) fn fail_after_verdict(&mut self, outcome: &'static str, blame: Blame, cause: Arc<str>) {
        (self.summary.outcome, self.summary.blame) = (outcome, Some(blame));
        self.because(Some(cause));
    }

    /// A tunnel ended.
    pub(crate) fn ended(&mut self, end: RelayEnd, cause: Option<Arc<str>>) {
        self.summary.end = Some(end);
        self.because(cause);
    }

    /// What ended the request says more than what made an attempt of it fail.
    fn because(&mut self, cause: Option<Arc<str>>) {
        self.summary.cause = cause.or(self.summary.cause.take());
    }

    fn note(&mut self, record: AttemptsRecord) {
        self.summary.attempts = record.attempts;
        self.summary.cause = record.failures.last().and_then(|one| one.failed.cause.clone());
        self.summary.failed_attempts = record.failures.into_iter().map(Failed::into_summary).collect();
        self.summary.attempt = record.attempt;
    }

    fn reach_verdict(&mut self, success: bool, now: Timestamp) {
        self.has_verdict = true;
        let latency = now.since(self.started);
        self.summary.latency = latency;
        self.pool.stats.requests.ended(success, latency);
        self.pool.emit_at(now, &Event::Verdict { request: self.summary.request, success });
    }
}

impl<E: Env> Drop for Request<E> {
    fn drop(&mut self) {
        if !self.has_verdict {
            if self.connections.reset.fired() {
                (self.summary.outcome, self.summary.blame) = ("drain_deadline", Some(Blame::Netdrift));
            }
            self.reach_verdict(false, self.pool.now());
        }
        self.connections.tunnels.leave(&self.carried);
        let now = self.pool.now();
        self.pool.stats.requests.left();
        (self.summary.bytes_up, self.summary.bytes_down) = self.carried.read();
        self.summary.duration = now.since(self.started);
        self.pool.emit_at(now, &Event::Finished(&self.summary));
    }
}
