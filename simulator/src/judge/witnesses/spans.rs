//! Spans of time, indexed so that one that overlaps another span is found at once.

use std::time::Duration;

/// Spans of time, each with what it stands for.
#[derive(Clone, Debug)]
pub(super) struct Spans<T> {
    /// By their begin.
    all: Vec<(Duration, Duration, T)>,
    /// The latest end among a span and those before it.
    latest: Vec<Duration>,
}

impl<T> Default for Spans<T> {
    fn default() -> Self {
        Spans { all: Vec::new(), latest: Vec::new() }
    }
}

impl<T: Copy> Spans<T> {
    /// These spans, each from its first to its last instant.
    pub(super) fn new(mut all: Vec<(Duration, Duration, T)>) -> Self {
        all.sort_by_key(|(from, ..)| *from);
        let mut last = Duration::ZERO;
        let latest = all.iter().map(|(_, until, _)| {
            last = last.max(*until);
            last
        });
        Spans { latest: latest.collect(), all }
    }

    /// All of them, from their first to their last instants.
    pub(super) fn all(&self) -> impl Iterator<Item = (Duration, Duration)> {
        self.all.iter().map(|(from, until, _)| (*from, *until))
    }

    /// What the latest one stands for of those that have an instant in common with the span from `from` to `until`.
    pub(super) fn overlapping(&self, from: Duration, until: Duration) -> Option<T> {
        let mut place = self.all.partition_point(|(begin, ..)| *begin <= until);
        while place > 0 && self.latest[place - 1] >= from {
            place -= 1;
            let (_, end, what) = self.all[place];
            if end >= from {
                return Some(what);
            }
        }
        None
    }

    /// How many of them have an instant in common with the span from `from` to `until`.
    pub(super) fn count(&self, from: Duration, until: Duration) -> usize {
        let began = self.all.partition_point(|(begin, ..)| *begin <= until);
        let later = (0..began).rev().take_while(|place| self.latest[*place] >= from);
        later.filter(|place| self.all[*place].1 >= from).count()
    }

    /// Whether one of them lasts from `from` to `until`.
    pub(super) fn covers(&self, from: Duration, until: Duration) -> bool {
        let place = self.all.partition_point(|(begin, ..)| *begin <= from);
        self.all[..place].iter().any(|(_, end, _)| *end >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// All sets of three spans between 0 and 4, against all spans there.
    #[test]
    fn what_overlaps_is_what_a_search_through_all_finds() {
        let spans: Vec<(u64, u64)> = (0..4).flat_map(|from| (from..4).map(move |until| (from, until))).collect();
        for one in &spans {
            for two in &spans {
                for three in &spans {
                    let all: Vec<_> = [one, two, three].map(|(from, until)| (secs(*from), secs(*until), *from)).into();
                    let indexed = Spans::new(all.clone());
                    for (from, until) in spans.iter().map(|(from, until)| (secs(*from), secs(*until))) {
                        let over = all.iter().filter(|(begin, end, _)| *begin <= until && *end >= from);
                        assert_eq!(indexed.overlapping(from, until), over.map(|one| one.2).max());
                        let whole = all.iter().any(|(begin, end, _)| *begin <= from && *end >= until);
                        assert_eq!(indexed.covers(from, until), whole);
                    }
                }
            }
        }
    }
}
