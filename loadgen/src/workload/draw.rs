//! Draws at random. Each draw is a pure function of a seed and a number, in integers, so that any machine repeats a run.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The draws for one purpose.
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// Number `stream` of the sequences that `seed` gives.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Draw(rng)
    }

    /// Uniform in `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high word of the product: a bias of bound / 2^64, far below what any run can see.
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Exponential with mean 1, in units of 2^-32, without a logarithm (von Neumann 1951): the first of a sequence of
    /// uniform numbers that falls an odd number of times is kept, each failure before it adds one.
    pub fn exponential(&mut self) -> u64 {
        let mut whole = 0u64;
        loop {
            let first = self.0.next_u64();
            let mut last = first;
            let mut falls = 1u32;
            loop {
                let next = self.0.next_u64();
                if next >= last {
                    break;
                }
                last = next;
                falls += 1;
            }
            if falls % 2 == 1 {
                return (whole << 32) | (first >> 32);
            }
            whole += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_stream_draw_the_same() {
        let first = |seed, stream| Draw::new(seed, stream).below(u64::MAX);
        assert_eq!(first(7, 3), first(7, 3));
        assert_ne!(first(7, 3), first(7, 4));
        assert_ne!(first(7, 3), first(8, 3));
    }

    #[test]
    fn below_covers_its_range_and_nothing_else() {
        let mut draw = Draw::new(1, 0);
        let mut seen = [0u32; 5];
        (0..1000).for_each(|_| seen[draw.below(5) as usize] += 1);
        assert!(seen.iter().all(|count| (150..250).contains(count)), "{seen:?}");
        assert_eq!(draw.below(0), 0);
    }

    #[test]
    fn exponential_has_mean_one_and_the_right_tail() {
        let mut draw = Draw::new(42, 0);
        let values: Vec<f64> = (0..100_000).map(|_| draw.exponential() as f64 / 4_294_967_296.0).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let above_two = values.iter().filter(|value| **value > 2.0).count() as f64 / values.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!((above_two - (-2.0f64).exp()).abs() < 0.005, "{above_two}");
    }
}
