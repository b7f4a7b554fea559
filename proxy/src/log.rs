//! Renders events through tracing: one line per request, and one for whatever an operator should know.

use std::fmt::Write as _;
use std::io::{BufWriter, IsTerminal};
use std::time::Duration;

use tracing::{debug, error, info, warn};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Logging};
use crate::core::time::Timestamp;
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
/// The level is no filter; told with what is wrong in it.
pub fn install(logging: &Logging) -> Result<WorkerGuard, String> {
    let filter = EnvFilter::try_new(&logging.level).map_err(|error| format!("logging.level: {error}"))?;
    let stderr = BufWriter::with_capacity(BATCH_BYTES, std::io::stderr());
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(false).buffered_lines_limit(QUEUE).thread_name("log").finish(stderr);
    // A log that can't be written is no reason to stop, and there is nowhere left to say so.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(false)
        .log_internal_errors(false);
    let installed = match logging.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // A second subscriber in one process is a test's doing; the first goes on.
    drop(installed);
    Ok(guard)
}

/// The observer that logs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Observer for Log {
    fn on(&self, at: Timestamp, event: &Event<'_>) {
        match event {
            Event::Finished(summary) => finished(summary),
            Event::Ejected { url, failures, until, .. } => {
                warn!(upstream = url, failures, probe_in_ms = millis(until.since(at)), "upstream ejected");
            }
            Event::BackedOff { url, until, .. } => {
                info!(upstream = url, probe_in_ms = millis(until.since(at)), "probe failed, backing off");
            }
            Event::Recovered { url, after, .. } => {
                info!(upstream = url, after_ms = millis(*after), "upstream recovered");
            }
            Event::Reloaded { epoch, changes, restart_required } => {
                info!(epoch, changes = changes.join("; "), "configuration reloaded");
                for what in *restart_required {
                    warn!("a change of {what} needs a restart; the old value stays");
                }
            }
            Event::ReloadFailed { problems } => {
                error!("configuration not reloaded, the old one stays in force:\n{problems}");
            }
            Event::DrainStarted { open } => info!(open, "draining"),
            Event::Drained { reset } => info!(reset, "drained"),
            Event::AcceptFailed { error } => warn!(error, "can't accept connections for the moment"),
            Event::EpochStarted { number, offset, members } => debug!(number, offset, ?members, "epoch started"),
            Event::PickMade { request, attempt, epoch, ticket, upstream, probe } => {
                debug!(request, attempt, epoch, ticket, %upstream, probe, "pick");
            }
            Event::AttemptEnded { request, upstream, failure, took } => {
                debug!(request, %upstream, failure, took_ms = took.as_secs_f64() * 1e3, "attempt ended");
            }
            Event::Blamed { upstream, blame, rule } => {
                debug!(%upstream, blame = blame.as_str(), rule = rule.as_str(), "blamed");
            }
            Event::Verdict { request, success } => debug!(request, success, "verdict"),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn finished(summary: &Summary) {
    let failed = summary.failed_attempts.iter().fold(String::new(), |mut text, (url, failure)| {
        let space = if text.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _ = write!(text, "{space}{url}={failure}");
        text
    });
    info!(
        request = summary.request,
        client = summary.client,
        user = summary.user.as_deref(),
        method = summary.method,
        target = summary.target,
        status = summary.status,
        outcome = summary.outcome,
        blame = summary.blame.map(|blame| blame.as_str()),
        upstream = summary.upstream.as_deref(),
        attempts = summary.attempts,
        failed,
        bytes_up = summary.bytes_up,
        bytes_down = summary.bytes_down,
        latency_ms = summary.latency.as_micros() as f64 / 1e3,
        duration_ms = summary.duration.as_micros() as f64 / 1e3,
        end = summary.end.map(|end| end.as_str()),
        "request"
    );
}
