//! A sweep keeps what reached something new and varies it, so that it goes where made-up scenarios alone seldom go.
//!
//! Which scenario a run plays still follows from the sweep's seed alone, however many threads there are: a run varies only what was kept
//! two generations before, and what a generation keeps is decided in the order of its runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::coverage::{Item, Reached};
use super::swarm::{Genome, seed_of};
use crate::world::EngineKind;

/// Runs of a generation.
const GENERATION: u64 = 32;
/// A run varies what was kept up to so many generations before its own, so that its generation need not wait for the last run of another.
const BEHIND: u64 = 2;

/// What a sweep has kept.
pub(super) struct Corpus {
    state: Mutex<State>,
    more: Condvar,
    engine: EngineKind,
}

#[derive(Default)]
struct State {
    /// Runs that have ended before some run in front of them has.
    ahead: BTreeMap<u64, (Genome, BTreeSet<Item>)>,
    /// The first run that has not ended.
    next: u64,
    kept: Vec<Genome>,
    reached: Reached,
    /// How many were kept when each generation was over.
    lengths: Vec<usize>,
}

impl Corpus {
    /// An empty one, for scenarios that `engine` can play.
    pub(super) fn new(engine: EngineKind) -> Self {
        Corpus { state: Mutex::default(), more: Condvar::new(), engine }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What run `number` plays, which has that seed. Waits until the generations that it depends on are over.
    pub(super) fn genome(&self, number: u64, seed: u64) -> Genome {
        let mut state = self.state();
        let kept = match (number / GENERATION).checked_sub(BEHIND) {
            None => 0,
            Some(generation) => loop {
                let over = usize::try_from(generation).ok().and_then(|generation| state.lengths.get(generation));
                match over {
                    Some(length) => break *length,
                    None => state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            },
        };
        // Every other run is made up anew.
        let draw = seed_of(seed, 0);
        match u64::try_from(kept) {
            Ok(length) if length > 0 && draw.is_multiple_of(2) => {
                let place = usize::try_from((draw / 2) % length).unwrap_or(0);
                state.kept[place].varied(seed)
            }
            _ => Genome::new(seed, self.engine),
        }
    }

    /// Run `number` has ended. It played `genome`.
    pub(super) fn ended(&self, number: u64, genome: Genome, reached: BTreeSet<Item>) {
        let mut state = self.state();
        state.ahead.insert(number, (genome, reached));
        state.take_in();
        self.more.notify_all();
    }

    /// What all runs have reached.
    pub(super) fn reached(&self) -> Reached {
        let mut state = self.state();
        // Where the sweep was ended, some runs may not have been played.
        let rest = std::mem::take(&mut state.ahead);
        rest.into_values().for_each(|(genome, reached)| state.keep(genome, &reached));
        state.reached.clone()
    }
}

impl State {
    fn take_in(&mut self) {
        while let Some((genome, reached)) = self.ahead.remove(&self.next) {
            self.keep(genome, &reached);
            self.next += 1;
            if self.next.is_multiple_of(GENERATION) {
                self.lengths.push(self.kept.len());
            }
        }
    }

    fn keep(&mut self, genome: Genome, reached: &BTreeSet<Item>) {
        if reached.iter().any(|item| !self.reached.contains_key(item)) {
            self.kept.push(genome);
        }
        for item in reached {
            *self.reached.entry(item.clone()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(names: &[&str]) -> BTreeSet<Item> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_reached_something_new_is_varied_two_generations_later_whoever_ends_first() {
        let engine = EngineKind::default();
        let play = |order: &mut dyn Iterator<Item = u64>| {
            let corpus = Corpus::new(engine);
            for number in order {
                let genome = corpus.genome(number, seed_of(1, number));
                assert_eq!(genome, Genome::new(seed_of(1, number), engine), "nothing is kept yet");
                let reached = if number == 5 { items(&["rare"]) } else { items(&[]) };
                corpus.ended(number, genome, reached);
            }
            (2 * GENERATION..3 * GENERATION).map(|number| corpus.genome(number, seed_of(1, number))).collect::<Vec<_>>()
        };
        let there = play(&mut (0..2 * GENERATION));
        assert_eq!(there, play(&mut (0..2 * GENERATION).rev()));
        let parent = Genome::new(seed_of(1, 5), engine);
        let anew = |number| Genome::new(seed_of(1, number), engine);
        let varied = (2 * GENERATION..).zip(&there).filter(|(number, genome)| **genome != anew(*number));
        let from_parent = varied.map(|(number, genome)| *genome == parent.varied(seed_of(1, number)));
        let from_parent: Vec<bool> = from_parent.collect();
        assert!(from_parent.len() > 5 && from_parent.iter().all(|one| *one), "{from_parent:?}");
    }
}
