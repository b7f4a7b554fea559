//! Says when a record is written by itself.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::config::FlightRecorder;
use crate::core::attribution::Blame;
use crate::core::time::Timestamp;
use crate::event::Event;

/// The span in which failures are a burst.
const BURST: Duration = Duration::from_secs(10);

/// Why a record is written to the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// An upstream was ejected.
    Ejection,
    /// Many requests have failed.
    Failures,
    /// Somebody sent SIGUSR2.
    Signal,
}

impl Why {
    /// Its word, in the log and in the file's name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Why::Ejection => "ejection",
            Why::Failures => "failures",
            Why::Signal => "signal",
        }
    }
}

/// What is waited for.
#[derive(Debug)]
pub(super) struct Triggers {
    on_ejection: bool,
    on_failures: Option<NonZeroU32>,
    /// Above, which span of ten seconds; below, the failures in it.
    failures: AtomicU64,
}

impl Triggers {
    /// Those of a configuration.
    pub(super) fn of(config: &FlightRecorder) -> Self {
        let &FlightRecorder { on_ejection, on_failures, .. } = config;
        Triggers { on_ejection, on_failures, failures: AtomicU64::new(0) }
    }

    /// Why `event` is a reason to write a record, if it is.
    pub(super) fn hear(&self, at: Timestamp, event: &Event<'_>) -> Option<Why> {
        match event {
            Event::Ejected { .. } => self.on_ejection.then_some(Why::Ejection),
            Event::Finished(summary)
                if summary.outcome != "ok" && matches!(summary.blame, Some(Blame::Upstream | Blame::Netdrift)) =>
            {
                let burst = self.on_failures.is_some_and(|most| self.count(at) == u64::from(most.get()));
                burst.then_some(Why::Failures)
            }
            _ => None,
        }
    }

    /// The failures of this span, with one more.
    fn count(&self, at: Timestamp) -> u64 {
        let span = (at.since(Timestamp::ZERO).as_secs() / BURST.as_secs()) << 32;
        let more = |failures: u64| if failures >> 32 == span >> 32 { failures + 1 } else { span + 1 };
        let before = self.failures.fetch_update(Relaxed, Relaxed, |failures| Some(more(failures)));
        more(before.unwrap_or_default()) & u64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::upstream::UpstreamId;
    use crate::event::Summary;

    fn triggers(on_ejection: bool, on_failures: u32) -> Triggers {
        Triggers { on_ejection, on_failures: NonZeroU32::new(on_failures), failures: AtomicU64::new(0) }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn an_ejection_is_a_reason_where_it_is_asked_for() {
        let ejected = |triggers: &Triggers| {
            let (upstream, until) = (UpstreamId::new(0), at(5));
            triggers.hear(at(1), &Event::Ejected { upstream, name: "", url: "", failures: 3, cause: None, until })
        };
        assert_eq!(ejected(&triggers(true, 0)), Some(Why::Ejection));
        assert_eq!(ejected(&triggers(false, 1)), None);
    }

    #[test]
    fn so_many_failures_of_ours_within_ten_seconds_are_a_reason_once() {
        let set = triggers(false, 3);
        let hear = |seconds, outcome, blame| set.hear(at(seconds), &Event::Finished(&Summary::example(outcome, blame)));
        let ours = |seconds| hear(seconds, "connect_refused", Some(Blame::Upstream));
        for (outcome, blame) in [
            ("ok", None),
            ("ok", Some(Blame::Upstream)),
            ("status_5xx", Some(Blame::Target)),
            ("cut_short", Some(Blame::Unknown)),
        ] {
            (0..5).for_each(|_| assert_eq!(hear(1, outcome, blame), None, "{outcome} {blame:?}"));
        }
        assert_eq!([1, 2, 3, 4, 5].map(ours), [None, None, Some(Why::Failures), None, None]);
        assert_eq!([18, 19, 20, 21].map(ours), [None; 4], "of two spans");
        assert_eq!(hear(22, "no_resources", Some(Blame::Netdrift)), Some(Why::Failures));
        assert_eq!(
            triggers(false, 0).hear(at(1), &Event::Finished(&Summary::example("closed", Some(Blame::Upstream)))),
            None
        );
    }
}
