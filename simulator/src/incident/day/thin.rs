//! A day with too many requests is thinned: evenly in time, and each outcome keeps its share. What ejected an upstream stays whole.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Kept at most at a time, for each that is kept in the end.
const SPARE: usize = 4;
/// So many of the last are remembered, since it is known only behind them that an upstream was ejected.
const RECENT: usize = 1 << 14;
/// Of those that are kept at most one in so many is there because all of its time are.
const WHOLE: usize = 4;

/// An outcome, and the how manieth of it.
type Which = (&'static str, u64);

/// Keeps so many of what it is given, in one pass and in bounded memory.
///
/// Of each outcome every n-th is kept (systematic sampling), which keeps its rate over time. n is doubled when too many are kept. In
/// the end each outcome has as many as its share of all asks for, evenly taken of what was kept. Where all of a time are wanted, as many
/// fewer of the same outcomes stay right behind it.
#[derive(Debug)]
pub(in crate::incident) struct Thin<T> {
    most: usize,
    every: u64,
    seen: BTreeMap<&'static str, u64>,
    kept: BTreeMap<&'static str, Vec<(u64, Duration, T)>>,
    held: usize,
    recent: VecDeque<(Which, Duration, T)>,
    /// The times of which all stay, by their beginnings.
    times: BTreeMap<Duration, Duration>,
    whole: BTreeMap<Which, T>,
    /// Times of which not all could stay.
    refused: u64,
}

/// What stays.
#[derive(Debug)]
pub(in crate::incident) struct Thinned<T> {
    /// These.
    pub(in crate::incident) left: Vec<T>,
    /// In how many of all there is one of them.
    pub(in crate::incident) one_in: f64,
    /// Times of which all were wanted and not all stay, since there were too many.
    pub(in crate::incident) refused: u64,
}

impl<T: Copy> Thin<T> {
    /// Keeps `most` in the end, and a few more where the day ends with a time of which all stay.
    pub(in crate::incident) fn to(most: usize) -> Self {
        let (seen, kept, held, recent, times, whole, refused) = Default::default();
        Thin { most: most.max(1), every: 1, seen, kept, held, recent, times, whole, refused }
    }

    /// One more, with its outcome and its time.
    pub(in crate::incident) fn add(&mut self, outcome: &'static str, at: Duration, one: T) {
        let seen = self.seen.entry(outcome).or_default();
        let number = *seen;
        *seen += 1;
        if self.room() > 0 && self.times.range(..=at).next_back().is_some_and(|(_, until)| at <= *until) {
            self.whole.insert((outcome, number), one);
            return;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(((outcome, number), at, one));
        if !takes(number, self.every) {
            return;
        }
        self.kept.entry(outcome).or_default().push((number, at, one));
        self.held += 1;
        if self.held > self.most.saturating_mul(SPARE) {
            self.every *= 2;
            let every = self.every;
            self.kept.values_mut().for_each(|kept| kept.retain(|(number, ..)| takes(*number, every)));
            self.held = self.kept.values().map(Vec::len).sum();
        }
    }

    /// How many more may stay because all of their time do.
    fn room(&self) -> usize {
        (self.most / WHOLE).saturating_sub(self.whole.len())
    }

    /// All of `time` are to stay: those that came of late, and those that are yet to be added.
    pub(in crate::incident) fn keep_all_of(&mut self, time: &RangeInclusive<Duration>) {
        let kept = self.kept.values().flatten().filter(|(_, at, _)| time.contains(at)).count();
        let recent = self.recent.iter().filter(|(_, at, _)| time.contains(at)).count();
        if kept.max(recent) > self.room() || self.times.len() > self.most {
            self.refused += 1;
            return;
        }
        let before = self.times.range(..=*time.start()).next_back().map(|(_, until)| *until);
        self.times.insert(*time.start(), before.map_or(*time.end(), |until| until.max(*time.end())));
        for (outcome, kept) in &mut self.kept {
            let wanted = kept.extract_if(.., |(_, at, _)| time.contains(at));
            self.whole.extend(wanted.map(|(number, _, one)| ((*outcome, number), one)));
        }
        let wanted = self.recent.iter().filter(|(_, at, _)| time.contains(at));
        self.whole.extend(wanted.map(|(which, _, one)| (*which, *one)));
        self.recent.retain(|(_, at, _)| !time.contains(at));
        self.held = self.kept.values().map(Vec::len).sum();
    }

    /// What stays.
    pub(in crate::incident) fn end(self) -> Thinned<T> {
        let (all, most) = (self.seen.values().sum::<u64>(), self.most as u64);
        let refused = self.refused;
        if all <= most {
            let mut left: Vec<T> = self.whole.into_values().collect();
            left.extend(self.kept.into_values().flatten().map(|(_, _, one)| one));
            return Thinned { left, one_in: 1.0, refused };
        }
        // Shares of `most` by largest remainders.
        let mut shares: Vec<(&str, usize, u64)> = Vec::new();
        for (outcome, seen) in &self.seen {
            let share = u128::from(*seen) * u128::from(most);
            let (whole, rest) = (share / u128::from(all), share % u128::from(all));
            shares.push((outcome, usize::try_from(whole).unwrap_or(usize::MAX), u64::try_from(rest).unwrap_or(0)));
        }
        let missing = self.most - shares.iter().map(|(_, whole, _)| whole).sum::<usize>();
        shares.sort_by_key(|(_, _, rest)| std::cmp::Reverse(*rest));
        shares.iter_mut().take(missing).for_each(|(_, whole, _)| *whole += 1);
        let mut wanted: BTreeMap<&str, usize> =
            shares.into_iter().map(|(outcome, whole, _)| (outcome, whole)).collect();
        // Where those of an outcome that stay whole are more than its share, the most frequent outcome makes room.
        let whole_of = |outcome: &str| self.whole.keys().filter(|(one, _)| *one == outcome).count();
        let over: usize = wanted.iter().map(|(outcome, want)| whole_of(outcome).saturating_sub(*want)).sum();
        if let Some(want) = wanted.values_mut().max() {
            *want = want.saturating_sub(over);
        }
        // Of each outcome so many have stayed at any time as its share of those until then asks for. Behind a time of which all stay, none do until
        // that is so again.
        let mut candidates: BTreeMap<Which, (bool, T)> =
            self.whole.into_iter().map(|(which, one)| (which, (true, one))).collect();
        for (outcome, kept) in self.kept {
            candidates.extend(kept.into_iter().map(|(number, _, one)| ((outcome, number), (false, one))));
        }
        let mut taken: BTreeMap<&str, u128> = BTreeMap::new();
        let mut left = Vec::with_capacity(self.most);
        for ((outcome, number), (is_whole, one)) in candidates {
            let seen = u128::from(self.seen[outcome]);
            let want = wanted.get(outcome).map_or(0, |want| *want as u128);
            let due = ((u128::from(number) + 1) * want + seen / 2) / seen;
            let taken = taken.entry(outcome).or_default();
            if is_whole || due > *taken {
                *taken += 1;
                left.push(one);
            }
        }
        let one_in = all as f64 / left.len().max(1) as f64;
        Thinned { left, one_in, refused }
    }
}

/// Whether number `number` of an outcome stays where every `every`-th does. What stays with a doubled `every` has stayed before.
fn takes(number: u64, every: u64) -> bool {
    (number + 1).is_multiple_of(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn few_stay_as_they_are() {
        let mut thin = Thin::to(10);
        (0..10).for_each(|number| {
            thin.add(if number % 2 == 0 { "ok" } else { "status_5xx" }, MILLISECOND * number, number);
        });
        thin.keep_all_of(&(MILLISECOND * 3..=MILLISECOND * 6));
        let Thinned { mut left, one_in, .. } = thin.end();
        left.sort_unstable();
        assert_eq!((left, one_in), ((0..10).collect(), 1.0));
    }

    /// The second half of the day is three times as busy, and 2 % fail all day. At `ejections` all that begin within 20 ms stay.
    fn day(ejections: &[u64]) -> Thinned<(u64, bool)> {
        let mut thin = Thin::to(1000);
        for number in 0..400_000_u64 {
            let at = if number < 100_000 { number * 3 } else { 300_000 + (number - 100_000) };
            let failed = number % 50 == 7;
            thin.add(if failed { "connect_refused" } else { "ok" }, Duration::from_millis(at), (at, failed));
            assert!(thin.held <= 4000);
            // It is known 12 ms behind the first of them.
            if let Some(begun) = ejections.iter().find(|begun| at == *begun + 12) {
                let begun = Duration::from_millis(*begun);
                thin.keep_all_of(&(begun..=begun + MILLISECOND * 19));
            }
        }
        thin.end()
    }

    fn has_rates_and_shares(day: &Thinned<(u64, bool)>) {
        assert_eq!((day.left.len(), day.one_in), (1000, 400.0));
        assert_eq!(day.left.iter().filter(|(_, failed)| *failed).count(), 20);
        let early = day.left.iter().filter(|(at, _)| *at < 300_000).count();
        assert!((245..=255).contains(&early), "{early}");
        let early = day.left.iter().filter(|(at, failed)| *failed && *at < 300_000).count();
        assert!((4..=6).contains(&early), "{early}");
    }

    #[test]
    fn rates_and_shares_stay_and_memory_is_bounded() {
        has_rates_and_shares(&day(&[]));
    }

    #[test]
    fn all_that_ejected_stay_and_rates_and_shares_stay_too() {
        let ejections = [90_000, 350_000, 360_000, 500_000];
        let day = day(&ejections);
        for begun in ejections {
            let whole = day.left.iter().filter(|(at, _)| (begun..begun + 20).contains(at)).count();
            assert!(whole == if begun < 300_000 { 7 } else { 20 }, "{begun}: {whole}");
        }
        has_rates_and_shares(&day);
    }

    #[test]
    fn where_too_much_would_stay_whole_it_is_counted_and_what_stays_is_bounded() {
        let ejections: Vec<u64> = (0..40).map(|number| 310_000 + number * 1000).collect();
        let day = day(&ejections);
        assert_eq!((day.left.len(), day.refused), (1000, 28), "250 of 1000, 20 each");
        let mut thin = Thin::to(100);
        (0..1000).for_each(|number| thin.add("ok", MILLISECOND * number, number));
        thin.keep_all_of(&(Duration::ZERO..=MILLISECOND * 1000));
        let day = thin.end();
        assert_eq!((day.left.len(), day.refused), (100, 1), "a row of failures that took all day");
    }
}
