//! A made-up scenario first draws which features it has at all, and then how much of each.
//!
//! With every feature on in every scenario, each would drown the others, and runs would differ in degree but not in kind
//! (Groce et al., Swarm Testing, 2012).

use clap::ValueEnum;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a scenario may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Feature {
    Latency,
    Jitter,
    Loss,
    Bandwidth,
    CoarseTick,
    Weights,
    WeightZero,
    Disabled,
    UpstreamAuth,
    ClientAuth,
    Checks,
    MaxAttempts,
    SlowUpstreams,
    Faults,
    Arming,
    Names,
    Herd,
    CrashUpstream,
    CrashProxy,
    Partition,
    Hold,
    OneWay,
    CutOffClient,
    ReloadWeights,
    ReloadMembers,
    ReloadBroken,
    ClockJump,
    Drain,
}

use Feature::*;

/// A name that leads to the first upstream, until it leads elsewhere.
pub(super) const NAME: &str = "moving.test";

/// The password that the proxy asks clients for.
pub(super) const PASSWORD: &str = "correct-horse";

/// A scenario that is being made up.
pub(super) struct Draw {
    random: ChaCha8Rng,
    pub(super) on: Vec<Feature>,
}

impl Draw {
    /// The draw that follows from `seed`, with its features.
    pub(super) fn new(seed: u64) -> Self {
        let mut draw = Draw { random: ChaCha8Rng::seed_from_u64(seed), on: Vec::new() };
        draw.on = draw.features();
        draw
    }

    /// Each is on in one of two scenarios, but for some that leave little of a run to be judged.
    fn features(&mut self) -> Vec<Feature> {
        let mut on = Vec::new();
        for feature in Feature::value_variants() {
            let times = match feature {
                Herd | MaxAttempts | CrashProxy | Drain => 6,
                _ => 2,
            };
            if self.once_in(times) {
                on.push(*feature);
            }
        }
        // Credentials follow the entry in the configuration, not the host that its name leads to.
        if on.contains(&Names) {
            on.retain(|feature| *feature != UpstreamAuth);
        }
        // A proxy that was killed while it drained starts again and does not drain.
        if on.contains(&Drain) {
            on.retain(|feature| *feature != CrashProxy);
        }
        on
    }

    pub(super) fn has(&self, feature: Feature) -> bool {
        self.on.contains(&feature)
    }

    /// A number from `least` to `most`.
    pub(super) fn number(&mut self, least: u64, most: u64) -> u64 {
        least + self.random.next_u64() % (most - least + 1)
    }

    /// True once in `times`.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.number(1, times) == 1
    }

    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let index = self.number(0, all.len() as u64 - 1);
        &all[usize::try_from(index).unwrap_or(0)]
    }
}
