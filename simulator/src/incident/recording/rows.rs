//! Failures in a row eject an upstream, so all requests of the time in which they began are wanted: with fewer it would be ejected later.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::scenario::HostName;

/// The most upstreams that are followed.
const MOST: usize = 10_000;
/// Attempts more than those that failed for which requests are wanted behind them: in a replay others may be the upstream's turn.
const MORE: u32 = 2;

/// The last attempts through an upstream.
#[derive(Debug, Default)]
struct Row {
    /// When the last one began that went well.
    well: Option<Duration>,
    /// When the first and the last began of those that have failed since, and how many have.
    failed: Option<(Duration, Duration, u32)>,
}

/// The rows of failures of all upstreams.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: BTreeMap<String, Row>,
}

impl Rows {
    /// A process has ended, and its successor has seen nothing.
    pub(super) fn process_ended(&mut self) {
        self.rows.clear();
    }

    /// An attempt through `upstream` has ended.
    pub(super) fn ended(&mut self, upstream: &HostName, begun: Duration, failed: bool) {
        if !self.rows.contains_key(upstream.as_str()) && self.rows.len() < MOST {
            self.rows.insert(upstream.as_str().to_owned(), Row::default());
        }
        let Some(row) = self.rows.get_mut(upstream.as_str()) else { return };
        if !failed {
            *row = Row { well: Some(begun), failed: None };
            return;
        }
        let (first, last, count) = row.failed.unwrap_or((begun, begun, 0));
        row.failed = Some((first.min(begun), last.max(begun), count.saturating_add(1)));
    }

    /// `upstream` was ejected. Tells the time in which the requests began that led to it and a few more; none where the log has no attempt.
    pub(super) fn ejected(&mut self, upstream: &HostName) -> Option<RangeInclusive<Duration>> {
        let row = self.rows.get_mut(upstream.as_str())?;
        let (first, last, count) = row.failed.take()?;
        let apart = last.saturating_sub(row.well.unwrap_or(first)) / count;
        Some(first..=last + apart * MORE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_begins_behind_the_last_success_and_ends_two_attempts_behind_the_last_failure() {
        let (a, b) = (HostName::new("a"), HostName::new("b"));
        let at = Duration::from_millis;
        let mut rows = Rows::default();
        rows.ended(&a, at(10), false);
        rows.ended(&a, at(20), true);
        rows.ended(&b, at(25), true);
        assert_eq!(rows.ejected(&HostName::new("c")), None);
        rows.ended(&a, at(30), true);
        rows.ended(&a, at(100), true);
        assert_eq!(rows.ejected(&a), Some(at(20)..=at(160)));
        assert_eq!(rows.ejected(&a), None, "a row ejects once");
        assert_eq!(rows.ejected(&b), Some(at(25)..=at(25)));
        rows.ended(&b, at(30), true);
        rows.process_ended();
        assert_eq!(rows.ejected(&b), None);
    }
}
