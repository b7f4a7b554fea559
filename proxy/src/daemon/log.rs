//! Writes events as log lines: one line per request, and one for everything that an operator should know.
//!
//! Every line of an event carries its [`word`](Event::word) in the field `event`, and enough beside it to rebuild the
//! event: at level debug a log as JSON is a complete witness of what the proxy did.

use std::io::{BufWriter, IsTerminal};
use std::time::Duration;

use tracing::{Dispatch, debug, error, info, warn};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogFormat, Logging};
use crate::core::time::Timestamp;
use crate::core::upstream::UpstreamId;
use crate::event::{Event, Observer, Summary};

/// Lines that may wait to be written. Past that whoever logs waits: a log that lost lines could not be trusted on the
/// day it is needed.
const QUEUE: usize = 16 * 1024;

/// Written at once where lines wait: a request's line as a system call of its own costs as much as a fifth of a tunnel.
const BATCH_BYTES: usize = 64 * 1024;

/// Writes logs to standard error as configured, from a thread of its own. The first call wins. What is queued is
/// written when the guard is dropped.
///
/// # Errors
/// The level is not a valid filter; the text says what is wrong with it.
pub fn install(logging: &Logging) -> Result<WorkerGuard, String> {
    let stderr = BufWriter::with_capacity(BATCH_BYTES, std::io::stderr());
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(false).buffered_lines_limit(QUEUE).thread_name("log").finish(stderr);
    // A second subscriber in one process is a test's doing; the first goes on.
    drop(tracing::dispatcher::set_global_default(lines(logging, writer)?));
    Ok(guard)
}

/// What writes the lines of a log to `writer` as configured.
///
/// # Errors
/// The level is not a valid filter; the text says what is wrong with it.
pub fn lines(
    logging: &Logging,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Result<Dispatch, String> {
    let filter = EnvFilter::try_new(&logging.level).map_err(|error| format!("logging.level: {error}"))?;
    // A log that can't be written is no reason to stop, and there is nowhere left to say so.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(false)
        .log_internal_errors(false);
    Ok(match logging.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).finish().into(),
        LogFormat::Json => builder.json().flatten_event(true).finish().into(),
    })
}

/// The observer that logs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Observer for Log {
    fn on(&self, at: Timestamp, happened: &Event<'_>) {
        let event = happened.word();
        // The word stands last, so that a reader of text logs sees first what the line is about.
        match happened {
            Event::Finished(summary) => finished(event, summary),
            Event::Ejected { upstream, name, url, failures, until } => {
                let probe_in_ms = millis(until.since(at));
                warn!(id = %upstream, name, upstream = url, failures, probe_in_ms, event, "upstream ejected");
            }
            Event::BackedOff { upstream, name, url, until } => {
                let probe_in_ms = millis(until.since(at));
                info!(id = %upstream, name, upstream = url, probe_in_ms, event, "probe failed, backing off");
            }
            Event::Recovered { upstream, name, url, after } => {
                info!(id = %upstream, name, upstream = url, after_ms = millis(*after), event, "upstream recovered");
            }
            Event::Reloaded { epoch, changes, restart_required } => {
                let (changes, waits) = (changes.join("; "), restart_required.join("; "));
                info!(epoch, changes, restart_required = waits, event, "configuration reloaded");
                for what in *restart_required {
                    warn!("a change of {what} needs a restart; the old value stays");
                }
            }
            Event::ReloadFailed { problems } => {
                error!(event, "configuration not reloaded, the old one stays in force:\n{problems}");
            }
            Event::DrainStarted { open } => info!(open, event, "draining"),
            Event::Drained { reset } => info!(reset, event, "drained"),
            Event::AcceptFailed { error } => warn!(error, event, "can't accept connections for the moment"),
            Event::EpochStarted { number, offset, members } => {
                debug!(number, offset, members = weights(members), event, "epoch started");
            }
            Event::PickMade { request, attempt, epoch, ticket, upstream, probe } => {
                debug!(request, attempt, epoch, ticket, id = %upstream, probe, event, "pick");
            }
            Event::AttemptEnded { request, upstream, failure, took } => {
                debug!(request, id = %upstream, failure, took_ms = millis(*took), event, "attempt ended");
            }
            Event::Blamed { upstream, blame, rule } => {
                debug!(id = %upstream, blame = blame.as_str(), rule = rule.as_str(), event, "blamed");
            }
            Event::Verdict { request, success } => debug!(request, success, event, "verdict"),
        }
    }
}

/// Milliseconds, to the microsecond.
fn millis(span: Duration) -> f64 {
    span.as_micros() as f64 / 1e3
}

/// "u0=3 u1=2".
fn weights(members: &[(UpstreamId, u32)]) -> String {
    members.iter().map(|(id, weight)| format!("{id}={weight}")).collect::<Vec<_>>().join(" ")
}

fn finished(event: &str, summary: &Summary) {
    let failed = summary.failed_attempts.iter().map(|(label, failure)| format!("{}={failure}", label.url));
    let failed_ids = summary.failed_attempts.iter().map(|(label, _)| label.id.to_string());
    let upstream = summary.upstream.as_deref();
    info!(
        request = summary.request,
        client = summary.client,
        user = summary.user.as_deref(),
        method = summary.method,
        target = summary.target,
        status = summary.status,
        outcome = summary.outcome,
        blame = summary.blame.map(|blame| blame.as_str()),
        id = upstream.map(|label| tracing::field::display(label.id)),
        name = upstream.map(|label| &*label.name),
        upstream = upstream.map(|label| &*label.url),
        attempts = summary.attempts,
        failed = failed.collect::<Vec<_>>().join(" "),
        failed_ids = failed_ids.collect::<Vec<_>>().join(" "),
        bytes_up = summary.bytes_up,
        bytes_down = summary.bytes_down,
        latency_ms = millis(summary.latency),
        duration_ms = millis(summary.duration),
        end = summary.end.map(|end| end.as_str()),
        event,
        "request"
    );
}
