//! Dice decide whether a ready task runs at once, and whether it is woken once more for nothing.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::scenario::Chance;
use crate::world::link::parts_per_million;

/// The values of a share that the scenario leaves out, in parts of a million. One of them is drawn.
const LEVELS: [u32; 4] = [0, 10_000, 100_000, 300_000];
const MILLION: u32 = 1_000_000;

/// What a task does with its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world::simulated) enum Turn {
    /// It runs.
    Now,
    /// It lets the other tasks that are ready run first.
    Later,
    /// It never runs again, since the run was given up.
    Never,
}

/// A share of calls that something happens to, drawn for each.
#[derive(Clone, Debug)]
pub(super) struct Share {
    ppm: u32,
}

impl Share {
    pub(super) fn of(share: f64) -> Self {
        Share { ppm: parts_per_million(share) }
    }

    /// The share that a scenario names, or one that is drawn.
    pub(super) fn or_drawn(share: Option<f64>, random: &mut ChaCha8Rng) -> Self {
        // This is drawn even if the scenario names the share, so that later draws are the same in both cases.
        let drawn = LEVELS[below(random, LEVELS.len())];
        Share { ppm: share.map_or(drawn, parts_per_million) }
    }

    /// Whether it happens this time.
    pub(super) fn hits(&self, random: &mut ChaCha8Rng) -> bool {
        self.ppm > 0 && random.next_u32() % MILLION < self.ppm
    }
}

/// A number below `limit`, which is not 0.
pub(super) fn below(random: &mut ChaCha8Rng, limit: usize) -> usize {
    usize::try_from(random.next_u64() % u64::try_from(limit.max(1)).unwrap_or(1)).unwrap_or(0)
}

/// The dice for the turns of all tasks of a run.
#[derive(Debug)]
pub(in crate::world::simulated) struct Dice {
    random: ChaCha8Rng,
    order: Share,
    wakeups: Share,
}

impl Dice {
    /// Makes the dice of a run. What happens follows from `seed`, how often from `chance`.
    pub(in crate::world::simulated) fn new(chance: &Chance, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // The wire draws its random numbers from stream 0.
        random.set_stream(1);
        let order = Share::or_drawn(chance.task_order, &mut random);
        let wakeups = Share::or_drawn(chance.spurious_wakeups, &mut random);
        Dice { random, order, wakeups }
    }

    /// Whether the order of packets that are due at the same time is drawn.
    pub(in crate::world::simulated) fn draws_order(&self) -> bool {
        self.order.ppm > 0
    }

    /// A number that decides between packets that are due at the same time; always 0 if the order is not drawn.
    pub(in crate::world::simulated) fn lot(&mut self) -> u32 {
        if self.draws_order() { self.random.next_u32() } else { 0 }
    }

    /// Decides whether a task that is ready runs now.
    pub(in crate::world::simulated) fn turn(&mut self) -> Turn {
        if self.order.hits(&mut self.random) { Turn::Later } else { Turn::Now }
    }

    /// Whether a task that waits is woken once more for nothing.
    pub(in crate::world::simulated) fn wakes_for_nothing(&mut self) -> bool {
        self.wakeups.hits(&mut self.random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_those_left_out_are_drawn_from_the_seed() {
        let always = Chance { task_order: Some(1.0), spurious_wakeups: Some(0.0), ..Chance::default() };
        let mut dice = Dice::new(&always, 1);
        assert!((0..100).all(|_| dice.turn() == Turn::Later && !dice.wakes_for_nothing()));
        let drawn = |seed| Dice::new(&Chance::default(), seed).order.ppm;
        let levels: std::collections::BTreeSet<u32> = (0..100).map(drawn).collect();
        assert_eq!(levels, LEVELS.into_iter().collect());
        assert_eq!(drawn(7), drawn(7));
    }
}
