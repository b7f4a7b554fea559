//! How an upstream behaved in time follows from the attempts through it.
//!
//! 1. Attempts are counted by what became of them, in bins of time. Bins are small at first, and get twice as long when there are too many.
//! 2. Bins become segments: neighbours are merged, the most alike first, while a common distribution explains them nearly as well as one
//!    for each (the logarithm of the likelihood ratio of two multinomials, against a penalty that grows with the logarithm of all
//!    attempts, as Schwarz 1978 has it, and with each further kind of outcome).
//! 3. The failures that ejected the upstream, and those of probes until it came back, are never merged with what is around them: the
//!    proxy has seen a change there, and the replay must.
//! 4. What changed between two attempts is placed in the middle between them: nobody was there to see it.
//! 5. Where some attempts of a segment went well and others did not, each kind of failure has its spell in it: from behind the last success
//!    in front of its first to the first success behind its last. A fault never strikes where the upstream was seen to do well before it
//!    failed, or after.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long bins are at first, in microseconds.
const BIN: u64 = 100_000;
/// The most bins of an upstream while a log is read.
const MOST_BINS: usize = 16_384;
/// The most segments of an upstream.
const MOST_SEGMENTS: usize = 200;
/// What is added to the logarithm of all attempts, so that one failure among few is chance as well.
const PENALTY: f64 = 1.5;

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::incident) enum Came {
    /// It opened the target, or brought a response, within 2^n milliseconds and not within half of them.
    Served(u8),
    /// The upstream answered with this status.
    Status(u16),
    /// It failed; the proxy's word.
    Failed(&'static str),
}

impl Came {
    /// It was served within so long.
    pub(in crate::incident) fn within(took: Duration) -> Self {
        let millis = u64::try_from(took.as_micros().div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        Came::Served(u8::try_from(millis.next_power_of_two().trailing_zeros()).unwrap_or(u8::MAX).min(30))
    }

    /// What it is called in notes.
    pub(in crate::incident) fn word(self) -> String {
        match self {
            Came::Served(octave) => format!("a reply within {} ms", 1u64 << octave),
            Came::Status(status) => format!("status {status}"),
            Came::Failed(word) => word.to_owned(),
        }
    }

    /// Whether the upstream did what it was asked.
    pub(in crate::incident) const fn is_well(self) -> bool {
        matches!(self, Came::Served(_))
    }
}

/// How often each came.
pub(in crate::incident) type Counts = BTreeMap<Came, u64>;

/// A span of time in which an upstream behaved alike.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::incident) struct Segment {
    /// Its begin.
    pub from: Duration,
    /// Its end; `None` for the last one.
    pub until: Option<Duration>,
    /// What became of the attempts in it.
    pub counts: Counts,
    /// When it failed, by how.
    pub spells: BTreeMap<Came, Spell>,
}

/// When an upstream failed in one way, within a segment.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::incident) struct Spell {
    /// Its begin.
    pub from: Duration,
    /// Its end; `None` for one that had not ended with the day.
    pub until: Option<Duration>,
    /// What became of the attempts in it.
    pub among: Counts,
}

/// The attempts through one upstream.
#[derive(Debug)]
pub(in crate::incident) struct Behaviour {
    width: u64,
    /// By the bin's number; what went well apart from what did not, so that a change within a bin has its place.
    bins: BTreeMap<(u64, bool), Bin>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour { width: BIN, bins: BTreeMap::new() }
    }
}

/// Attempts that began about the same time. Times are in microseconds.
#[derive(Clone, Debug)]
struct Bin {
    first: u64,
    last: u64,
    counts: Counts,
    /// The upstream was ejected for these failures, or they kept it out.
    out: bool,
    /// How many bins a segment is made of; one until they are merged.
    parts: usize,
}

impl Bin {
    fn absorb(&mut self, other: Bin) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        for (came, count) in other.counts {
            *self.counts.entry(came).or_default() += count;
        }
    }

    /// Whether the upstream did well. One that came back did, also where no attempt was told of.
    fn went_well(&self) -> bool {
        self.counts.is_empty() || self.counts.keys().any(|came| came.is_well())
    }

    fn count(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// An upstream was out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::incident) struct Outage {
    /// When it was ejected.
    pub ejected: Duration,
    /// After how many failures in a row.
    pub failures: u32,
    /// When it came back, if it did.
    pub recovered: Option<Duration>,
}

impl Behaviour {
    /// An attempt began at `at`.
    pub(in crate::incident) fn attempt(&mut self, at: Duration, came: Came) {
        let at = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let bin = Bin { first: at, last: at, counts: Counts::from([(came, 1)]), out: false, parts: 1 };
        put(&mut self.bins, (at / self.width, came.is_well()), bin);
        while self.bins.len() > MOST_BINS {
            self.width = self.width.saturating_mul(2);
            for ((number, well), bin) in std::mem::take(&mut self.bins) {
                put(&mut self.bins, (number / 2, well), bin);
            }
        }
    }

    /// What failed, over the whole day.
    pub(in crate::incident) fn failed(&self) -> BTreeSet<Came> {
        let all = self.bins.values().flat_map(|bin| bin.counts.keys());
        all.copied().filter(|came| !came.is_well()).collect()
    }

    /// How it behaved, in order. No attempts, no segments.
    pub(in crate::incident) fn segments(self, outages: &[Outage]) -> Vec<Segment> {
        let mut bins: Vec<Bin> = self.bins.into_values().collect();
        bins.sort_by_key(|bin| (bin.first, bin.last));
        for outage in outages {
            mark(&mut bins, outage);
        }
        come_back(&mut bins, outages);
        let parts = bins.clone();
        let all: u64 = bins.iter().map(Bin::count).sum();
        let (logarithm, mut strictness) = ((all.max(1) as f64).ln(), 1.0);
        loop {
            merge(&mut bins, strictness, logarithm);
            if bins.len() <= MOST_SEGMENTS {
                break;
            }
            strictness *= 2.0;
            if strictness > 1e6 {
                // Nothing but outages is left.
                bins.iter_mut().for_each(|bin| bin.out = false);
            }
        }
        let ends: Vec<Option<Duration>> =
            bins.windows(2).map(|pair| Some(middle(&pair[0], &pair[1]))).chain([None]).collect();
        let (mut from, mut begin) = (Duration::ZERO, 0);
        let mut segments = Vec::new();
        for (bin, until) in bins.into_iter().zip(ends) {
            let own = &parts[begin..begin + bin.parts];
            let failed = bin.counts.keys().copied().filter(|came| !came.is_well());
            let spells = failed.map(|came| (came, spell(own, came, from, until))).collect();
            segments.push(Segment { from, until, counts: bin.counts, spells });
            from = until.unwrap_or(from);
            begin += bin.parts;
        }
        segments
    }
}

/// The middle between two bins.
fn middle(one: &Bin, next: &Bin) -> Duration {
    Duration::from_micros(one.last.min(next.first) / 2 + next.first.max(one.last) / 2)
}

/// When the upstream failed like that in a segment that is made of `parts`.
fn spell(parts: &[Bin], came: Came, from: Duration, until: Option<Duration>) -> Spell {
    let with = || parts.iter().filter(|bin| bin.counts.contains_key(&came));
    let (Some(first), Some(last)) = (with().min_by_key(|bin| bin.first), with().max_by_key(|bin| bin.last)) else {
        return Spell { from, until, among: Counts::new() };
    };
    let well = || parts.iter().filter(|bin| bin.went_well());
    let before = well().filter(|bin| bin.last < first.first).max_by_key(|bin| bin.last);
    let behind = well().filter(|bin| bin.first > last.last).min_by_key(|bin| bin.first);
    let mut among = Counts::new();
    for bin in parts.iter().filter(|bin| bin.last >= first.first && bin.first <= last.last) {
        bin.counts.iter().for_each(|(came, count)| *among.entry(*came).or_default() += count);
    }
    Spell {
        from: before.map_or(from, |before| middle(before, first)),
        until: behind.map(|behind| middle(last, behind)).or(until),
        among,
    }
}

fn put(bins: &mut BTreeMap<(u64, bool), Bin>, place: (u64, bool), bin: Bin) {
    match bins.get_mut(&place) {
        Some(there) => there.absorb(bin),
        None => {
            bins.insert(place, bin);
        }
    }
}

/// Marks the failures that led to an outage, and those during it.
fn mark(bins: &mut [Bin], outage: &Outage) {
    let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let (ejected, back) = (micros(outage.ejected), outage.recovered.map_or(u64::MAX, micros));
    let mut missing = u64::from(outage.failures);
    // Bins are wider than a row may be, so its begin is told by the success in front of it and not by their counts.
    for bin in bins.iter_mut().rev().filter(|bin| bin.first <= ejected) {
        if !bin.went_well() {
            bin.out = true;
            missing = missing.saturating_sub(bin.count());
        } else if missing == 0 {
            break;
        }
    }
    let during = |bin: &&mut Bin| !bin.went_well() && bin.first > ejected && bin.first < back;
    bins.iter_mut().filter(during).for_each(|bin| bin.out = true);
}

/// An upstream that came back was well then, also where no attempt was told of: a probe may ask for a connection alone.
fn come_back(bins: &mut Vec<Bin>, outages: &[Outage]) {
    for recovered in outages.iter().filter_map(|outage| outage.recovered) {
        let at = u64::try_from(recovered.as_micros()).unwrap_or(u64::MAX);
        bins.push(Bin { first: at, last: at, counts: Counts::new(), out: false, parts: 1 });
    }
    bins.sort_by_key(|bin| (bin.first, bin.last));
}

/// Merges neighbours, the most alike first: each pass allows a little more.
fn merge(bins: &mut Vec<Bin>, strictness: f64, logarithm: f64) {
    for part in [0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0].map(|part| part * strictness) {
        loop {
            let before = bins.len();
            let mut merged: Vec<Bin> = Vec::with_capacity(before);
            for bin in bins.drain(..) {
                match merged.last_mut() {
                    Some(last) if last.out == bin.out && loss(last, &bin) <= part * penalty(last, &bin, logarithm) => {
                        last.parts += bin.parts;
                        last.absorb(bin);
                    }
                    _ => merged.push(bin),
                }
            }
            *bins = merged;
            if bins.len() == before {
                break;
            }
        }
    }
}

/// By how much a common distribution may be less likely.
fn penalty(one: &Bin, other: &Bin, logarithm: f64) -> f64 {
    let kinds = one.counts.keys().chain(other.counts.keys()).collect::<BTreeSet<_>>().len();
    PENALTY + logarithm * (1.0 + kinds.saturating_sub(2) as f64 / 2.0)
}

/// How much less likely both are by a common distribution, as a logarithm.
fn loss(one: &Bin, other: &Bin) -> f64 {
    let likelihood = |counts: &mut dyn Iterator<Item = u64>, all: u64| -> f64 {
        counts.map(|count| count as f64 * (count as f64 / all as f64).ln()).sum()
    };
    let (first, second) = (one.count(), other.count());
    let apart =
        likelihood(&mut one.counts.values().copied(), first) + likelihood(&mut other.counts.values().copied(), second);
    let kinds: BTreeSet<&Came> = one.counts.keys().chain(other.counts.keys()).collect();
    let of = |bin: &Bin, came: &Came| bin.counts.get(came).copied().unwrap_or(0);
    let mut sums = kinds.into_iter().map(|came| of(one, came) + of(other, came));
    apart - likelihood(&mut sums, first + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: Came = Came::Failed("connect_refused");

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Attempts of a day, ten a second, by what became of the one at each time.
    fn day(seconds: u64, came: impl Fn(u64) -> Came) -> Behaviour {
        let mut behaviour = Behaviour::default();
        (0..seconds * 10).for_each(|tenth| behaviour.attempt(at(tenth * 100), came(tenth * 100)));
        behaviour
    }

    #[test]
    fn latencies_are_told_apart_by_doublings() {
        let octaves = [0, 1, 2, 3, 4, 5, 1000, 1025].map(|millis| Came::within(at(millis)));
        assert_eq!(octaves, [0, 0, 1, 2, 2, 3, 10, 11].map(Came::Served));
    }

    #[test]
    fn an_outage_has_its_begin_and_end_in_the_middle_between_attempts() {
        let segments =
            day(60, |ms| if (20_000..30_000).contains(&ms) { REFUSED } else { Came::Served(3) }).segments(&[]);
        let edges: Vec<_> = segments.iter().map(|one| (one.from, one.until)).collect();
        assert_eq!(edges, [(at(0), Some(at(19_950))), (at(19_950), Some(at(29_950))), (at(29_950), None)]);
        assert_eq!(segments[1].counts, Counts::from([(REFUSED, 100)]));
    }

    #[test]
    fn a_share_of_failures_all_day_is_one_segment_and_so_is_a_mix_of_latencies() {
        let segments = day(300, |ms| match (ms / 100 * 7919) % 101 {
            0..10 => Came::Status(503),
            10..40 => Came::Served(5),
            _ => Came::Served(4),
        })
        .segments(&[]);
        assert_eq!(segments.len(), 1, "{segments:?}");
        assert_eq!(segments[0].counts.values().sum::<u64>(), 3000);
    }

    #[test]
    fn a_brown_out_is_a_segment_of_its_own() {
        let slow = |ms| if (10_000..14_000).contains(&ms) { Came::Served(9) } else { Came::Served(4) };
        let segments = day(30, slow).segments(&[]);
        assert_eq!(segments.len(), 3);
        assert_eq!(segments[1].counts, Counts::from([(Came::Served(9), 40)]));
    }

    #[test]
    fn a_single_failure_is_chance_unless_it_ejected() {
        let once = || day(60, |ms| if ms == 30_000 { REFUSED } else { Came::Served(3) });
        assert_eq!(once().segments(&[]).len(), 1);
        let outage = Outage { ejected: at(30_002), failures: 1, recovered: Some(at(32_000)) };
        let segments = once().segments(&[outage]);
        assert_eq!(segments.len(), 3, "{segments:?}");
        assert_eq!(segments[1].counts, Counts::from([(REFUSED, 1)]));
    }

    #[test]
    fn probes_that_fail_keep_an_outage_whole_however_long_it_is() {
        let mut behaviour = day(10, |ms| if ms < 8000 { Came::Served(3) } else { REFUSED });
        [20_000, 60_000, 200_000].iter().for_each(|ms| behaviour.attempt(at(*ms), REFUSED));
        behaviour.attempt(at(400_000), Came::Served(3));
        let outage = Outage { ejected: at(8205), failures: 3, recovered: Some(at(400_003)) };
        let segments = behaviour.segments(&[outage]);
        let last = &segments[segments.len() - 2];
        assert_eq!(last.until, Some(at(300_000)));
        assert!(last.counts.keys().all(|came| *came == REFUSED), "{segments:?}");
    }

    #[test]
    fn an_upstream_that_came_back_unseen_was_well_from_before_then_on() {
        let outage = Outage { ejected: at(9_905), failures: 3, recovered: Some(at(19_700)) };
        let segments = day(10, |ms| if ms < 8000 { Came::Served(3) } else { REFUSED }).segments(&[outage]);
        assert_eq!(segments.last().map(|one| (one.from, one.counts.len())), Some((at(14_800), 0)), "{segments:?}");
    }

    /// Requests come every 25 ms. The first two failures share a bin with successes, and the one that ejects another with those behind it.
    #[test]
    fn failures_that_ejected_begin_behind_the_last_success_whatever_failed_in_the_bin_of_the_ejection() {
        let mut behaviour = Behaviour::default();
        for ms in (0..2000).step_by(25) {
            behaviour.attempt(at(ms), if ms < 1250 { Came::Served(3) } else { REFUSED });
        }
        let outage = Outage { ejected: at(1301), failures: 3, recovered: None };
        let segments = behaviour.segments(&[outage]);
        let edges: Vec<_> = segments.iter().map(|one| (one.from, one.until, one.spells.len())).collect();
        let turn = Duration::from_micros(1_237_500);
        assert_eq!(edges, [(at(0), Some(turn), 0), (turn, None, 1)], "{segments:?}");
    }

    #[test]
    fn a_failure_among_successes_has_a_spell_between_the_one_before_it_and_the_one_behind() {
        let spell_of = |wrong: std::ops::Range<u64>| {
            let mut segments = day(60, |ms| if wrong.contains(&ms) { REFUSED } else { Came::Served(3) }).segments(&[]);
            assert_eq!(segments.len(), 1, "{segments:?}");
            let spell = segments.remove(0).spells.remove(&REFUSED).unwrap();
            (spell.from, spell.until, spell.among)
        };
        let alone = |count| Counts::from([(REFUSED, count)]);
        assert_eq!(spell_of(30_000..30_001), (at(29_950), Some(at(30_050)), alone(1)));
        // Nobody saw it do well before, or behind.
        assert_eq!(spell_of(0..1), (at(0), Some(at(50)), alone(1)));
        assert_eq!(spell_of(59_900..60_000), (at(59_850), None, alone(1)));
    }

    #[test]
    fn a_spell_counts_what_went_well_within_it_too() {
        let mut segments =
            day(60, |ms| if (20_000..50_000).contains(&ms) && ms % 5000 == 0 { REFUSED } else { Came::Served(3) })
                .segments(&[]);
        assert_eq!(segments.len(), 1, "{segments:?}");
        let spell = segments.remove(0).spells.remove(&REFUSED).unwrap();
        assert_eq!((spell.from, spell.until), (at(19_950), Some(at(45_050))));
        assert_eq!(spell.among, Counts::from([(REFUSED, 6), (Came::Served(3), 245)]));
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_lost() {
        let mut behaviour = Behaviour::default();
        for minute in 0..100_000_u64 {
            behaviour
                .attempt(Duration::from_secs(minute * 60), if minute % 2 == 0 { REFUSED } else { Came::Served(3) });
            assert!(behaviour.bins.len() <= MOST_BINS);
        }
        let segments = behaviour.segments(&[]);
        assert!(segments.len() <= MOST_SEGMENTS);
        assert_eq!(segments.iter().flat_map(|one| one.counts.values()).sum::<u64>(), 100_000);
    }
}
