//! What the proxy's machine did not do when it was asked for, and what follows from that.

use std::time::Duration;

/// How long a name is not looked up again that could not be resolved.
const NO_LOOKUP: Duration = Duration::from_millis(1200);
/// How long the proxy takes no connection where its machine has failed to accept one.
pub(super) const REST: Duration = Duration::from_millis(150);
/// For how long an attempt counts among those that all requests together may have.
const RETRIES_COUNT: Duration = Duration::from_secs(10);

/// When the proxy's machine did not do what it was asked for.
#[derive(Debug, Default)]
pub struct Machine<'a> {
    /// It failed to accept a connection.
    pub accept_errors: Vec<Duration>,
    /// It failed to look a name up, and which.
    pub failed_lookups: Vec<(Duration, &'a str)>,
    /// It had no descriptor.
    pub lacks: Vec<Duration>,
}

impl Machine<'_> {
    /// Whether `name` could not be looked up at some time from `from` to `until`, so that who it leads to could not be asked.
    pub fn lookup_failed(&self, name: &str, from: Duration, until: Duration) -> bool {
        self.failed_lookups.iter().any(|(at, whose)| *whose == name && *at <= until && *at + NO_LOOKUP >= from)
    }

    /// Whether the attempts that failed for want of descriptors may have used up what all requests together may try again, until `until`.
    pub fn out_of_retries(&self, from: Duration, until: Duration) -> bool {
        let since = from.saturating_sub(RETRIES_COUNT);
        self.lacks.iter().any(|at| (since..=until).contains(at))
    }

    /// How long a connection may have waited in the backlog, from `from` to `until`, because the proxy's machine failed to accept some.
    pub fn rests(&self, from: Duration, until: Duration) -> Duration {
        let failed = self.accept_errors.iter().filter(|at| (from..=until).contains(*at)).count();
        REST * u32::try_from(failed).unwrap_or(u32::MAX)
    }
}
