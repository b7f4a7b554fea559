//! Chance that can be replayed.
//!
//! Every draw is a pure function of (seed, upstream name, plan entry, connection number, request number on it): neither
//! timing nor other connections nor other entries move it. Integers only, so every machine draws the same.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The random numbers of one plan entry for one request; request 0 is the connection before any request.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The draw with these coordinates.
    pub fn new(seed: u64, upstream: &str, entry: &str, connection: u64, request: u64) -> Self {
        let mut key = [0; 32];
        for (part, number) in key.chunks_exact_mut(8).zip([seed, fnv1a(upstream), fnv1a(entry), connection]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        let mut numbers = ChaCha8Rng::from_seed(key);
        numbers.set_stream(request);
        Draw(numbers)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `most`, both included.
    pub fn up_to(&mut self, most: u64) -> u64 {
        // The high half of a 128-bit product: no division, and a bias below 2^-32 for all we use it for.
        ((u128::from(self.number()) * (u128::from(most) + 1)) >> 64) as u64
    }

    /// A span from zero to `most`, by the microsecond.
    pub fn span(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.up_to(u64::try_from(most.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Whether something of this chance happens.
    pub fn happens(&mut self, chance: Chance) -> bool {
        self.number() >> (64 - Chance::BITS) < chance.0
    }

    /// Numbers of its own for one part of a fault, so that parts don't wait for each other.
    pub fn fork(&mut self) -> Draw {
        let mut key = [0; 32];
        self.0.fill_bytes(&mut key);
        Draw(ChaCha8Rng::from_seed(key))
    }
}

/// A name as a number: FNV-1a with 64 bits, the same on every machine and for ever.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chance(u64);

impl Chance {
    /// As many as an `f64` holds exactly.
    const BITS: u32 = 53;

    /// From 0 (never) to 1 (always); `None` outside.
    pub fn new(probability: f64) -> Option<Self> {
        let whole = (1_u64 << Self::BITS) as f64;
        (0.0..=1.0).contains(&probability).then_some(Chance((probability * whole) as u64))
    }

    /// The probability.
    pub fn get(self) -> f64 {
        self.0 as f64 / (1_u64 << Self::BITS) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fixed once and for all: a change here changes every recorded run.
    #[test]
    fn the_draw_of_these_coordinates_is_known() {
        assert_eq!(Draw::new(7, "a", "reset", 3, 1).number(), 15_702_838_621_727_642_112);
    }

    #[test]
    fn every_coordinate_matters() {
        let draws = [
            Draw::new(7, "a", "x", 3, 1),
            Draw::new(8, "a", "x", 3, 1),
            Draw::new(7, "b", "x", 3, 1),
            Draw::new(7, "a", "y", 3, 1),
            Draw::new(7, "a", "x", 4, 1),
            Draw::new(7, "a", "x", 3, 2),
        ];
        let numbers: std::collections::BTreeSet<u64> = draws.map(|mut draw| draw.number()).into();
        assert_eq!(numbers.len(), 6);
    }

    #[test]
    fn chances_hold_at_the_ends_and_in_the_middle() {
        let count = |probability| {
            let chance = Chance::new(probability).unwrap();
            (0..10_000).filter(|connection| Draw::new(1, "a", "x", *connection, 0).happens(chance)).count()
        };
        assert_eq!((count(0.0), count(1.0)), (0, 10_000));
        // Six standard deviations; the draws are fixed, so this can't flicker.
        assert!((2_740..3_260).contains(&count(0.3)), "{}", count(0.3));
        assert!(Chance::new(1.1).is_none() && Chance::new(f64::NAN).is_none());
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut draw = Draw::new(1, "a", "x", 1, 1);
        let seen: std::collections::BTreeSet<u64> = (0..200).map(|_| draw.up_to(3)).collect();
        assert_eq!(seen, (0..=3).collect());
        assert!(draw.span(Duration::ZERO).is_zero());
    }
}
