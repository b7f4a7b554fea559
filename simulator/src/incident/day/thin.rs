//! A day with too many requests is thinned: evenly in time, and each outcome keeps its share.

use std::collections::BTreeMap;

/// Kept at most at a time, for each that is kept in the end.
const SPARE: usize = 4;

/// Keeps so many of what it is given, in one pass and in bounded memory.
///
/// Of each outcome every n-th is kept (systematic sampling), which keeps its rate over time. n is doubled when too many are kept. In
/// the end each outcome has as many as its share of all asks for, evenly taken of what was kept.
#[derive(Debug)]
pub(in crate::incident) struct Thin<T> {
    most: usize,
    every: u64,
    seen: BTreeMap<&'static str, u64>,
    kept: BTreeMap<&'static str, Vec<(u64, T)>>,
    held: usize,
}

impl<T> Thin<T> {
    /// Keeps `most` in the end.
    pub(in crate::incident) fn to(most: usize) -> Self {
        let (seen, kept, held) = Default::default();
        Thin { most: most.max(1), every: 1, seen, kept, held }
    }

    /// One more, with its outcome.
    pub(in crate::incident) fn add(&mut self, outcome: &'static str, one: T) {
        let seen = self.seen.entry(outcome).or_default();
        let number = *seen;
        *seen += 1;
        if !takes(number, self.every) {
            return;
        }
        self.kept.entry(outcome).or_default().push((number, one));
        self.held += 1;
        if self.held > self.most.saturating_mul(SPARE) {
            self.every *= 2;
            let every = self.every;
            self.kept.values_mut().for_each(|kept| kept.retain(|(number, _)| takes(*number, every)));
            self.held = self.kept.values().map(Vec::len).sum();
        }
    }

    /// Those that stay, and in how many of all there is one of them.
    pub(in crate::incident) fn end(self) -> (Vec<T>, f64) {
        let all: u64 = self.seen.values().sum();
        let most = self.most as u64;
        if all <= most {
            return (self.kept.into_values().flatten().map(|(_, one)| one).collect(), 1.0);
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
        let wanted: BTreeMap<&str, usize> = shares.into_iter().map(|(outcome, whole, _)| (outcome, whole)).collect();
        let mut left = Vec::new();
        for (outcome, kept) in self.kept {
            let (have, want) = (kept.len(), wanted.get(outcome).copied().unwrap_or(0).min(kept.len()));
            let picked =
                kept.into_iter().enumerate().filter(|(place, _)| (place + 1) * want / have > place * want / have);
            left.extend(picked.map(|(_, (_, one))| one));
        }
        let one_in = all as f64 / left.len().max(1) as f64;
        (left, one_in)
    }
}

/// Whether number `number` of an outcome stays where every `every`-th does. What stays with a doubled `every` has stayed before.
fn takes(number: u64, every: u64) -> bool {
    (number + 1).is_multiple_of(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_stay_as_they_are() {
        let mut thin = Thin::to(10);
        (0..10).for_each(|number| thin.add(if number % 2 == 0 { "ok" } else { "status_5xx" }, number));
        let (mut left, one_in) = thin.end();
        left.sort_unstable();
        assert_eq!((left, one_in), ((0..10).collect(), 1.0));
    }

    #[test]
    fn rates_and_shares_stay_and_memory_is_bounded() {
        let mut thin = Thin::to(1000);
        // The second half of the day is three times as busy, and 2 % fail all day.
        for number in 0..400_000_u64 {
            let at = if number < 100_000 { number * 3 } else { 300_000 + (number - 100_000) };
            thin.add(if number % 50 == 7 { "connect_refused" } else { "ok" }, (at, number % 50 == 7));
            assert!(thin.held <= 4000);
        }
        let (left, one_in) = thin.end();
        assert_eq!((left.len(), one_in), (1000, 400.0));
        assert_eq!(left.iter().filter(|(_, failed)| *failed).count(), 20);
        let early = left.iter().filter(|(at, _)| *at < 300_000).count();
        assert!((245..=255).contains(&early), "{early}");
        let early = left.iter().filter(|(at, failed)| *failed && *at < 300_000).count();
        assert!((4..=6).contains(&early), "{early}");
    }
}
