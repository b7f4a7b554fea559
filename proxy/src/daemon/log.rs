//! Writes events as log lines: one line per request, and one for everything that an operator should know.
//!
//! Every line of an event carries its [`word`](Event::word) in the field `event`, and enough beside it to rebuild the
//! event: at level debug a log as JSON is a complete witness of what the proxy did.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tracing::{Dispatch, debug, error, info, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogFormat, Logging};
use crate::core::time::Timestamp;
use crate::core::upstream::UpstreamId;
use crate::daemon::log_line::LineFormat;
use crate::daemon::log_queue::LogQueue;
use crate::event::{Event, Observer, Phase, Phases, Summary};

pub use crate::daemon::log_queue::Flush;

/// Writes logs to standard error as configured, from a thread of its own. The first call wins. What is queued is
/// written when [`Flush`] is dropped.
///
/// # Errors
/// The level is no filter, or standard error can't be had; told in a sentence.
pub fn install(logging: &Logging) -> Result<(Log, Flush), String> {
    let queue = LogQueue::default();
    let dispatch = lines(logging, queue.clone())?;
    let failed = |error: io::Error| format!("the log can't be written: {error}");
    let stderr = Stderr(File::from(io::stderr().as_fd().try_clone_to_owned().map_err(failed)?));
    let flush = queue.start(stderr, |lines| {
        warn!(lines, event = "log_lines_dropped", "log lines were dropped: they could not be written in time");
    });
    let flush = flush.map_err(failed)?;
    // A second subscriber in one process is a test's doing; the first goes on.
    drop(tracing::dispatcher::set_global_default(dispatch));
    Ok((Log { queue }, flush))
}

/// Standard error without the lock of [`std::io::stderr`]: whoever else writes there must not wait for a log that stands
/// still.
struct Stderr(File);

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                // Whoever started us may have made it so; its other holders see the same flag.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    let format = match logging.format {
        LogFormat::Text => LineFormat::Text,
        LogFormat::Json => LineFormat::Json,
    };
    Ok(builder.event_format(format).finish().into())
}

/// The observer that logs.
#[derive(Clone, Debug, Default)]
pub struct Log {
    queue: LogQueue,
}

impl Observer for Log {
    fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    fn on(&self, at: Timestamp, happened: &Event<'_>) {
        let event = happened.word();
        // The word stands last, so that a reader of text logs sees first what the line is about.
        match happened {
            Event::Finished(summary) => finished(event, summary),
            Event::Suspected { upstream, name, url, failures, cause } => {
                info!(id = %upstream, name, upstream = url, failures, cause, event, "upstream set aside for a probe");
            }
            Event::Ejected { upstream, name, url, failures, cause, until } => {
                let probe_in_ms = millis(until.since(at));
                warn!(id = %upstream, name, upstream = url, failures, cause, probe_in_ms, event, "upstream ejected");
            }
            Event::BackedOff { upstream, name, url, cause, until } => {
                let probe_in_ms = millis(until.since(at));
                info!(id = %upstream, name, upstream = url, cause, probe_in_ms, event, "probe failed, backing off");
            }
            Event::Recovered { upstream, name, url, after } => {
                info!(id = %upstream, name, upstream = url, after_ms = millis(*after), event, "upstream recovered");
            }
            Event::Reloaded { config_epoch, changes, restart_required } => {
                let (changes, waits) = (changes.join("; "), restart_required.join("; "));
                info!(config_epoch, changes, restart_required = waits, event, "configuration reloaded");
                for what in *restart_required {
                    warn!("a change of {what} needs a restart; the old value stays");
                }
            }
            Event::Steered { upstream, name, url, change, uid, pid } => {
                warn!(id = %upstream, name, upstream = url, change, uid, pid, event, "upstream set by hand");
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
            Event::ProbeAsked { upstream, target } => debug!(id = %upstream, target, event, "probe asks"),
            Event::AttemptEnded { request, upstream, failure, cause, phases, took } => {
                let [lookup_ms, tcp_ms, tls_ms, reply_ms] = told(*phases);
                debug!(
                    request,
                    id = %upstream,
                    failure,
                    cause,
                    lookup_ms,
                    tcp_ms,
                    tls_ms,
                    reply_ms,
                    took_ms = millis(*took),
                    event,
                    "attempt ended"
                );
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

/// The phases of an attempt in milliseconds, in their order.
fn told(phases: Phases) -> [Option<f64>; Phase::ALL.len()] {
    Phase::ALL.map(|phase| phases.get(phase).map(millis))
}

/// "u0=3 u1=2".
fn weights(members: &[(UpstreamId, u32)]) -> String {
    members.iter().map(|(id, weight)| format!("{id}={weight}")).collect::<Vec<_>>().join(" ")
}

fn finished(event: &str, summary: &Summary) {
    let each = || summary.failed_attempts.iter().map(|one| (one, &one.attempt.upstream));
    let failed: Vec<_> = each().map(|(one, label)| format!("{}={}", label.url, one.failure)).collect();
    let failed_ids: Vec<_> = each().map(|(_, label)| label.id.to_string()).collect();
    let failed_causes: Vec<_> = each().map(|(one, _)| one.cause.as_deref().unwrap_or(one.failure)).collect();
    let upstream = summary.upstream();
    let phases = summary.tries().next_back().map_or_else(Phases::default, |attempt| attempt.phases);
    let [lookup_ms, tcp_ms, tls_ms, reply_ms] = told(phases);
    info!(
        request = summary.request,
        client = %summary.client,
        user = summary.user.as_deref(),
        method = &*summary.method,
        target = &*summary.target,
        status = summary.status,
        outcome = summary.outcome,
        blame = summary.blame.map(|blame| blame.as_str()),
        id = upstream.map(|label| tracing::field::display(label.id)),
        name = upstream.map(|label| &*label.name),
        upstream = upstream.map(|label| &*label.url),
        tag = upstream.and_then(|label| label.tag.as_deref()),
        attempts = summary.attempts,
        failed = failed.join(" "),
        failed_ids = failed_ids.join(" "),
        failed_causes = (!failed_causes.is_empty()).then(|| failed_causes.join("; ")),
        cause = summary.cause.as_deref(),
        bytes_up = summary.bytes_up,
        bytes_down = summary.bytes_down,
        lookup_ms,
        tcp_ms,
        tls_ms,
        reply_ms,
        latency_ms = millis(summary.latency),
        duration_ms = millis(summary.duration),
        end = summary.end.map(|end| end.as_str()),
        event,
        "request"
    );
}
