//! Writes events as log lines: one line per request, and one for everything that an operator should know.
//!
//! Every line of an event carries its [`word`](Event::word) in the field `event`, and enough beside it to rebuild the
//! event: at level debug a log as JSON is a complete witness of what the proxy did.

use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{Dispatch, Level, debug, enabled, error, info, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{self, LogTo, Logging};
use crate::core::time::Timestamp;
use crate::core::upstream::UpstreamId;
use crate::daemon::log_line::{FINISHED, Framing, LineFormat};
use crate::daemon::log_out::{LogOut, Reopen};
use crate::daemon::log_queue::LogQueue;
use crate::event::{Event, Observer, Phase, Phases, Summary};

pub use crate::daemon::log_queue::Flush;

/// A log that is written.
#[derive(Debug)]
pub struct Installed {
    /// Hears the proxy's events.
    pub log: Log,
    /// What can be changed of it.
    pub control: LogControl,
    /// Writes the last lines when it is dropped.
    pub flush: Flush,
}

/// Writes logs as configured, from a thread of its own. The first call wins. What is queued is written when [`Flush`] is
/// dropped.
///
/// # Errors
/// The level is no filter, or what the log is written to can't be had; told in a sentence.
pub fn install(logging: &Logging) -> Result<Installed, String> {
    let queue = LogQueue::default();
    let (dispatch, set) = lines_with_level(logging, queue.clone())?;
    let reopen = Reopen::default();
    let out = LogOut::open(&logging.to, &reopen)?;
    let flush = queue.start(out, framing(logging).end(), |lines| {
        warn!(lines, event = "log_lines_dropped", "log lines were dropped: they could not be written in time");
    });
    let flush = flush.map_err(|error: io::Error| format!("the log can't be written: {error}"))?;
    // A second subscriber in one process is a test's doing; the first goes on.
    drop(tracing::dispatcher::set_global_default(dispatch));
    let level = Arc::new(Mutex::new(logging.level.clone()));
    let control = LogControl { level, set, reopen: matches!(logging.to, LogTo::File(_)).then_some(reopen) };
    let log = Log { queue, successes: Arc::new(Sample::one_in(logging.sample_successes)) };
    Ok(Installed { log, control, flush })
}

/// Puts another filter in force.
type SetFilter = Arc<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Changes a log while it is written.
#[derive(Clone)]
pub struct LogControl {
    /// The one in force, as it was said.
    level: Arc<Mutex<String>>,
    set: SetFilter,
    reopen: Option<Reopen>,
}

impl std::fmt::Debug for LogControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogControl").field("level", &self.level).finish_non_exhaustive()
    }
}

impl LogControl {
    /// The level in force: a word or a filter.
    pub fn level(&self) -> String {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs with another level from now on, as the user `uid` asks in the process `pid`, and returns the one before. The log
    /// tells of it, at whichever of the two levels lets it.
    ///
    /// # Errors
    /// The level is none; told in a sentence.
    pub fn set_level(&self, level: &str, (uid, pid): (u32, Option<i32>)) -> Result<String, String> {
        let filter = config::log_filter(level)?;
        let mut in_force = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let before = in_force.clone();
        let tell = || warn!(before, level, uid, pid, event = "log_level_set", "the level of the log was set by hand");
        let told = enabled!(Level::WARN);
        if told {
            tell();
        }
        (self.set)(filter)?;
        if !told {
            tell();
        }
        level.clone_into(&mut in_force);
        Ok(before)
    }

    /// Has the log's file opened again. Tells whether there is one.
    pub fn reopen(&self) -> bool {
        if let Some(reopen) = &self.reopen {
            reopen.ask();
        }
        self.reopen.is_some()
    }
}

fn framing(logging: &Logging) -> Framing {
    match logging.to {
        LogTo::Stderr | LogTo::File(_) => Framing::Line,
        LogTo::Syslog(_) => Framing::Syslog,
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
    lines_with_level(logging, writer).map(|(dispatch, _)| dispatch)
}

fn lines_with_level(
    logging: &Logging,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Result<(Dispatch, SetFilter), String> {
    let filter = EnvFilter::try_new(&logging.level).map_err(|error| format!("logging.level: {error}"))?;
    let format = LineFormat { shape: logging.format, framing: framing(logging), access: logging.access_format.clone() };
    // A log that can't be written is no reason to stop, and there is nowhere left to say so.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    let builder = builder.event_format(format).with_filter_reloading();
    let handle = builder.reload_handle();
    let set = move |filter| handle.reload(filter).map_err(|error| error.to_string());
    Ok((builder.finish().into(), Arc::new(set)))
}

/// The observer that logs.
#[derive(Clone, Debug, Default)]
pub struct Log {
    queue: LogQueue,
    successes: Arc<Sample>,
}

/// Takes one in so many.
#[derive(Debug)]
struct Sample {
    one_in: NonZeroU64,
    seen: AtomicU64,
}

impl Default for Sample {
    fn default() -> Self {
        Sample::one_in(NonZeroU64::MIN)
    }
}

impl Sample {
    fn one_in(one_in: NonZeroU64) -> Self {
        Sample { one_in, seen: AtomicU64::new(0) }
    }

    /// Whether the next one is taken: the first is.
    fn takes(&self) -> bool {
        self.one_in == NonZeroU64::MIN || self.seen.fetch_add(1, Ordering::Relaxed) % self.one_in == 0
    }

    /// How many were not taken.
    fn left_out(&self) -> u64 {
        let seen = self.seen.load(Ordering::Relaxed);
        seen - seen.div_ceil(self.one_in.get())
    }
}

/// All went well: nothing of it failed, neither behind the scenes nor behind the verdict.
fn is_success(summary: &Summary) -> bool {
    summary.outcome == "ok" && summary.blame.is_none() && summary.failed_attempts.is_empty() && summary.cause.is_none()
}

impl Observer for Log {
    fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    fn left_out(&self) -> u64 {
        self.successes.left_out()
    }

    fn on(&self, at: Timestamp, happened: &Event<'_>) {
        let event = happened.word();
        // The word stands last, so that a reader of text logs sees first what the line is about.
        match happened {
            Event::Finished(summary) if is_success(summary) && !self.successes.takes() => {}
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
            Event::TunnelsClosed { filter, closed, uid, pid } => {
                warn!(filter, closed, uid, pid, event, "tunnels closed by hand");
            }
            Event::ReloadFailed { problems } => {
                error!(event, "configuration not reloaded, the old one stays in force:\n{problems}");
            }
            // A log may be that of a hand-over, in which two processes write.
            Event::DrainStarted { open } => info!(open, pid = std::process::id(), event, "draining"),
            Event::Drained { reset } => info!(reset, pid = std::process::id(), event, "drained"),
            Event::AcceptFailed { reason, error } => {
                warn!(reason, error, event, "can't accept connections for the moment");
            }
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
        name: FINISHED,
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

#[cfg(test)]
mod tests {
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Metadata, Subscriber, dispatcher};

    use super::*;
    use crate::config::ACCESS_FIELDS;

    /// Takes down the names of an event's fields.
    struct Names(Arc<Mutex<Vec<&'static str>>>);

    impl Subscriber for Names {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            self.0.lock().unwrap().extend(event.metadata().fields().iter().map(|field| field.name()));
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_format_may_name_every_field_of_a_request_that_is_over_and_no_other() {
        let names = Arc::new(Mutex::new(Vec::new()));
        let summary = Summary::example("ok", None);
        dispatcher::with_default(&Dispatch::new(Names(Arc::clone(&names))), || {
            Log::default().on(Timestamp::ZERO, &Event::Finished(&summary));
        });
        let mut names = names.lock().unwrap().clone();
        names.retain(|name| !["event", "message"].contains(name));
        assert_eq!(names, ACCESS_FIELDS[1..]);
        assert_eq!(ACCESS_FIELDS[0], "timestamp", "the one of the line itself");
    }

    #[test]
    fn the_first_of_so_many_is_taken_and_the_others_are_counted() {
        for (one_in, taken, left_out) in [(1, 10, 0), (3, 4, 6), (10, 1, 9), (100, 1, 9)] {
            let sample = Sample::one_in(NonZeroU64::new(one_in).unwrap());
            assert_eq!(sample.left_out(), 0);
            assert_eq!((0..10).filter(|_| sample.takes()).count(), taken, "{one_in}");
            assert_eq!(sample.left_out(), left_out, "{one_in}");
        }
    }
}
