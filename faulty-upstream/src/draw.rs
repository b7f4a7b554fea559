//! Draws random numbers that can be repeated.
//!
//! Every draw is a pure function of the seed, the upstream's name, the plan entry, the connection's number and the request's
//! number on it. Neither timing nor other connections nor other entries change it. It is computed in integers, so that it
//! is the same on every machine.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The random numbers that one plan entry draws for one request. Request 0 is the connection before any request.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// Makes the draw with these coordinates.
    pub fn new(seed: u64, upstream: &str, entry: &str, connection: u64, request: u64) -> Self {
        let mut key = [0; 32];
        for (part, number) in key.chunks_exact_mut(8).zip([seed, fnv1a(upstream), fnv1a(entry), connection]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        let mut numbers = ChaCha8Rng::from_seed(key);
        numbers.set_stream(request);
        Draw(numbers)
    }

    /// Draws any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws a number from 0 to `most`, both included.
    pub fn up_to(&mut self, most: u64) -> u64 {
        // This is the high half of a 128-bit product. Its bias is below 2^-32 for the ranges that faults use.
        ((u128::from(self.number()) * (u128::from(most) + 1)) >> 64) as u64
    }

    /// Draws a duration from zero to `most`, in whole microseconds.
    pub fn duration(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.up_to(u64::try_from(most.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Draws whether something with this probability happens.
    pub fn happens(&mut self, probability: Probability) -> bool {
        self.number() >> (64 - Probability::BITS) < probability.0
    }

    /// Draws the seed of other random numbers, for one part of a fault. So the parts of a fault can draw in any order.
    pub fn fork(&mut self) -> Draw {
        let mut key = [0; 32];
        self.0.fill_bytes(&mut key);
        Draw(ChaCha8Rng::from_seed(key))
    }
}

/// Turns a name into a number by FNV-1a with 64 bits, which is the same on every machine.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A probability, from 0 (never) to 1 (always).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probability(u64);

impl Probability {
    /// The number of bits that an `f64` holds exactly.
    const BITS: u32 = 53;

    /// Makes a probability. `None` where it is not between 0 and 1.
    pub fn new(probability: f64) -> Option<Self> {
        let whole = (1_u64 << Self::BITS) as f64;
        (0.0..=1.0).contains(&probability).then_some(Probability((probability * whole) as u64))
    }

    /// The probability as a number from 0 to 1.
    pub fn get(self) -> f64 {
        self.0 as f64 / (1_u64 << Self::BITS) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This number is fixed for ever: a change of it changes every recorded run.
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
            let chance = Probability::new(probability).unwrap();
            (0..10_000).filter(|connection| Draw::new(1, "a", "x", *connection, 0).happens(chance)).count()
        };
        assert_eq!((count(0.0), count(1.0)), (0, 10_000));
        // The bounds are six standard deviations away. The draws are fixed, so this test always ends alike.
        assert!((2_740..3_260).contains(&count(0.3)), "{}", count(0.3));
        assert!(Probability::new(1.1).is_none() && Probability::new(f64::NAN).is_none());
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut draw = Draw::new(1, "a", "x", 1, 1);
        let seen: std::collections::BTreeSet<u64> = (0..200).map(|_| draw.up_to(3)).collect();
        assert_eq!(seen, (0..=3).collect());
        assert!(draw.duration(Duration::ZERO).is_zero());
    }
}
