//! Makes the pages of the requests that are remembered: a list of them, and the story of one.

use std::time::SystemTime;

use serde::Serialize;

use crate::client::statistics::pretty;
use crate::context::Context;
use crate::core::time::Timestamp;
use crate::env::Env;
use crate::event::{AttemptSummary, FailedAttemptSummary, Phase, RequestId, Summary, UpstreamLabel};

/// Requests that a list holds at most.
const MAX_LISTED: usize = 1000;

/// The requests that are remembered, the newest first: all of them, or those that did not go well.
pub(crate) fn list<E: Env>(context: &Context<E>, failed: bool) -> String {
    let remembered = context.memory.read(failed);
    let started = context.start(since_start(context.pool.now()));
    let requests = remembered.iter().take(MAX_LISTED);
    let requests = requests.map(|one| RequestOut::of(&one.summary, started + since_start(one.ended))).collect();
    pretty(&ListPage { missed: context.memory.missed(), requests }) + "\n"
}

/// The story of the request of this number, if it is remembered.
pub(crate) fn story<E: Env>(context: &Context<E>, request: RequestId) -> Option<String> {
    let one = context.memory.find(request)?;
    let summary = &one.summary;
    let failed = summary.failed_attempts.iter().map(|failed| (&failed.attempt, Some(failed)));
    let all = failed.chain(summary.attempt.iter().map(|attempt| (attempt, None)));
    let mut tried: Vec<&UpstreamLabel> = Vec::new();
    let mut attempts = Vec::new();
    for (attempt, failed) in all {
        attempts.push(AttemptOut::of(attempt, failed, &tried));
        tried.push(&attempt.upstream);
    }
    let request = RequestOut::of(summary, context.start(since_start(context.pool.now())) + since_start(one.ended));
    Some(pretty(&StoryPage { request, attempts }) + "\n")
}

fn since_start(at: Timestamp) -> std::time::Duration {
    at.since(Timestamp::ZERO)
}

#[derive(Serialize)]
struct ListPage<'a> {
    /// How many could not be remembered because somebody was reading.
    missed: u64,
    requests: Vec<RequestOut<'a>>,
}

#[derive(Serialize)]
struct StoryPage<'a> {
    #[serde(flatten)]
    request: RequestOut<'a>,
    attempts: Vec<AttemptOut<'a>>,
}

/// What is told of a request in either page; names as in the log.
#[derive(Serialize)]
struct RequestOut<'a> {
    request: RequestId,
    /// When its head was complete.
    time: String,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    method: &'a str,
    target: &'a str,
    /// The configuration that it began with.
    config_epoch: u64,
    status: u16,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    blame: Option<&'static str>,
    /// The upstream that served it, or was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    attempt_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    bytes_up: u64,
    bytes_down: u64,
    latency_ms: f64,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'static str>,
}

impl<'a> RequestOut<'a> {
    fn of(summary: &'a Summary, ended: SystemTime) -> Self {
        let began = ended.checked_sub(summary.duration).unwrap_or(ended);
        RequestOut {
            request: summary.request,
            time: humantime::format_rfc3339_millis(began).to_string(),
            client: summary.client.to_string(),
            user: summary.user.as_deref(),
            method: &summary.method,
            target: &summary.target,
            config_epoch: summary.config_epoch,
            status: summary.status,
            outcome: summary.outcome,
            blame: summary.blame.map(|blame| blame.as_str()),
            name: summary.upstream().map(|label| &*label.name),
            attempt_count: summary.attempts,
            cause: summary.cause.as_deref(),
            bytes_up: summary.bytes_up,
            bytes_down: summary.bytes_down,
            latency_ms: millis(summary.latency),
            duration_ms: millis(summary.duration),
            end: summary.end.map(|end| end.as_str()),
        }
    }
}

#[derive(Serialize)]
struct AttemptOut<'a> {
    #[serde(flatten)]
    upstream: UpstreamOut<'a>,
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    /// The epoch of the schedule that was in force.
    epoch: u64,
    /// Of a pick whose turn it was; a failover or a last resort takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<u64>,
    /// How many upstreams took picks in that epoch.
    candidates: usize,
    excluded: Vec<ExcludedOut<'a>>,
    /// How many more were excluded for other reasons than an earlier attempt of this request.
    #[serde(skip_serializing_if = "is_zero")]
    excluded_more: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookup_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_ms: Option<f64>,
    #[serde(flatten)]
    failure: Option<FailureOut<'a>>,
}

#[derive(Serialize)]
struct UpstreamOut<'a> {
    id: String,
    name: &'a str,
}

#[derive(Serialize)]
struct ExcludedOut<'a> {
    #[serde(flatten)]
    upstream: UpstreamOut<'a>,
    why: &'static str,
}

#[derive(Serialize)]
struct FailureOut<'a> {
    /// The phase in which it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    failure: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blame: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    /// The rule in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'static str>,
}

impl<'a> From<&'a UpstreamLabel> for UpstreamOut<'a> {
    fn from(label: &'a UpstreamLabel) -> Self {
        UpstreamOut { id: label.id.to_string(), name: &label.name }
    }
}

impl<'a> AttemptOut<'a> {
    /// Of an attempt behind those through `tried`.
    fn of(attempt: &'a AttemptSummary, failed: Option<&'a FailedAttemptSummary>, tried: &[&'a UpstreamLabel]) -> Self {
        let AttemptSummary { upstream, pick, phases } = attempt;
        let standing = &pick.standing;
        let out = (standing.excluded.iter())
            .map(|one| ExcludedOut { upstream: (&*one.upstream).into(), why: one.why.as_str() });
        let tried = tried.iter().map(|label| ExcludedOut { upstream: (*label).into(), why: "tried already" });
        let phase = |phase| phases.get(phase).map(millis);
        AttemptOut {
            upstream: (&**upstream).into(),
            url: &upstream.url,
            tag: upstream.tag.as_deref(),
            epoch: standing.epoch,
            ticket: pick.ticket(),
            candidates: standing.candidates,
            excluded: out.chain(tried).collect(),
            excluded_more: standing.more,
            lookup_ms: phase(Phase::Lookup),
            tcp_ms: phase(Phase::Tcp),
            tls_ms: phase(Phase::Tls),
            reply_ms: phase(Phase::Reply),
            failure: failed.map(|failed| FailureOut {
                stage: phases.last().map(Phase::as_str),
                failure: failed.failure,
                cause: failed.cause.as_deref(),
                blame: failed.blame.map(|(blame, _)| blame.as_str()),
                rule: failed.blame.map(|(_, rule)| rule.as_str()),
                because: failed.blame.map(|(_, rule)| rule.in_words()),
            }),
        }
    }
}

/// Milliseconds, to the microsecond.
pub(super) fn millis(span: std::time::Duration) -> f64 {
    span.as_micros() as f64 / 1e3
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
