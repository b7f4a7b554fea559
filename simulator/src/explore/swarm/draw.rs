//! A made-up scenario first draws which features it has at all, and then how much of each.
//!
//! With every feature on in every scenario, each would drown the others, and runs would differ in degree but not in kind
//! (Groce et al., Swarm Testing, 2012).

use clap::ValueEnum;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::world::EngineKind;

/// What a scenario may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Feature {
    Latency,
    Jitter,
    Loss,
    Bandwidth,
    FineTick,
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
    AcceptErrors,
    DnsFailures,
    SlowDns,
    ManyAddresses,
    SlowOffload,
    BusyOffload,
    Outage,
    DeadTargets,
    LongTunnels,
    OddPages,
    FewDescriptors,
    SecondProxy,
    TlsUpstreams,
    TlsTargets,
    WarmConnections,
    Limit,
    Pages,
    Abuse,
    ReloadUsers,
    QuietEnd,
    Steer,
    SilentTunnels,
    ReloadTimeouts,
    EjectByHand,
    CloseTunnels,
    Ambush,
    TightBudget,
    Logins,
    BothKinds,
    AdminListener,
}

use Feature::*;

/// The parts of a scenario. Each has random numbers of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Hosts,
    Upstreams,
    Proxy,
    Clients,
    Timeline,
    Network,
    Chance,
    SecondProxy,
    Ambush,
    BothKinds,
    AdminListener,
}

/// The first upstream.
pub(super) const FIRST: &str = "u1";
/// A name that leads to the first upstream, until it leads elsewhere.
pub(super) const NAME: &str = "moving.test";

/// The host of the second proxy.
pub(super) const SECOND: &str = "second";

/// The time that a reply may take until a reload shortens it.
pub(super) const LONG_REPLY: &str = "12s";
/// The same behind such a reload.
pub(super) const SHORT_REPLY: &str = "2s";

/// The password that the proxy asks clients for.
pub(super) const PASSWORD: &str = "correct-horse";
/// The password that it asks them for behind some reloads.
pub(super) const NEW_PASSWORD: &str = "battery-staple";
/// The hash of the first, of the least cost that argon2 has: with bcrypt's least, hashing took a quarter of a sweep.
pub(super) const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2hpamtsbW5vcA$SjJXObRBTGcT87cOqc82Hg";

/// Features that an engine can't play, and that its scenarios don't have.
fn lacks(engine: EngineKind) -> &'static [Feature] {
    match engine {
        EngineKind::TurmoilNet => &[],
        EngineKind::Turmoil => &[Loss, Bandwidth, OneWay],
        // What loopback can't do.
        EngineKind::Live => &[
            Latency,
            Jitter,
            Loss,
            Bandwidth,
            FineTick,
            Names,
            Partition,
            Hold,
            OneWay,
            CutOffClient,
            ClockJump,
            AcceptErrors,
            FewDescriptors,
            DnsFailures,
            SlowDns,
            ManyAddresses,
            SlowOffload,
            BusyOffload,
            SecondProxy,
        ],
    }
}

/// What a scenario is made up from: its features, and the seed of all draws. Both stand for the same scenario everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genome {
    pub(super) seed: u64,
    pub(super) features: Vec<Feature>,
    engine: EngineKind,
}

impl Genome {
    /// The one that `seed` stands for, for scenarios that `engine` can play.
    ///
    /// Each feature is on in one of two scenarios, but for some that leave little of a run to be judged.
    pub fn new(seed: u64, engine: EngineKind) -> Self {
        let mut draw = Draw { random: ChaCha8Rng::seed_from_u64(seed), on: Vec::new(), engine };
        let mut features = Vec::new();
        for feature in Feature::value_variants() {
            let times = match feature {
                Herd | CrashProxy | LongTunnels | SecondProxy | TlsUpstreams | TlsTargets | QuietEnd
                | SilentTunnels => 6,
                // Who has no weight takes nothing over.
                WeightZero | Disabled => 4,
                Pages | Abuse | ReloadUsers | Steer | EjectByHand | CloseTunnels => 4,
                // Steps of a millisecond cost most of a run's time.
                FineTick => 8,
                // Where it is on, the proxy may turn many away.
                Limit => 40,
                // What comes behind it is owed nothing.
                Drain | Ambush => 8,
                // They show within a few requests.
                Logins | BothKinds => 8,
                // Where they are on, the proxy owes little.
                Outage => 16,
                FewDescriptors | MaxAttempts => 20,
                TightBudget => 12,
                // Its places of its own show only where there is a crowd.
                AdminListener if features.contains(&Limit) => 2,
                AdminListener => 8,
                AcceptErrors | BusyOffload => 6,
                // The name of the one that is left alone may be the one that fails.
                DnsFailures => 10,
                CrashUpstream | ReloadTimeouts => 3,
                _ => 2,
            };
            if draw.once_in(times) {
                features.push(*feature);
            }
        }
        Genome { seed, features, engine }.viable()
    }

    /// A variation of this one that follows from `seed`: with one to three features more or less, or with other draws, or both.
    #[must_use]
    pub fn varied(&self, seed: u64) -> Self {
        let mut draw = Draw { random: ChaCha8Rng::seed_from_u64(seed), on: Vec::new(), engine: self.engine };
        let mut varied = self.clone();
        let what = draw.number(1, 3);
        if what != 1 {
            varied.seed = seed;
        }
        if what != 2 {
            for _ in 0..draw.number(1, 3) {
                let feature = *draw.one_of(Feature::value_variants());
                match varied.features.iter().position(|one| *one == feature) {
                    Some(place) => drop(varied.features.remove(place)),
                    None => varied.features.push(feature),
                }
            }
        }
        varied.viable()
    }

    /// The same without what can't be together, and without what its engine can't play.
    fn viable(mut self) -> Self {
        let on = &mut self.features;
        on.retain(|feature| !lacks(self.engine).contains(feature));
        // Credentials and TLS follow the entry in the configuration, not the host that its name leads to.
        if on.contains(&Names) {
            on.retain(|feature| !matches!(feature, UpstreamAuth | TlsUpstreams));
        }
        // A fault that answers in the place of a target that does not work has the upstreams that tell the truth set aside.
        if [Faults, Arming, Ambush].iter().any(|one| on.contains(one)) {
            on.retain(|feature| !matches!(feature, DeadTargets | OddPages | ReloadTimeouts));
        }
        // Whoever is cut off keeps its place, and nobody else knows for how long; the same where packets are lost.
        if on.contains(&Limit) {
            on.retain(|feature| !matches!(feature, CutOffClient | Loss | SilentTunnels | ReloadTimeouts));
            // Who stays for long makes it crowded for good, and then the proxy owes nobody anything; many who come at once do not.
            on.retain(|feature| !matches!(feature, LongTunnels | QuietEnd));
            // Above the limit a reserve answers the pages: who asks for none can't tell that it is there.
            for wanted in [Herd, Pages] {
                if !on.contains(&wanted) {
                    on.push(wanted);
                }
            }
        }
        // Many who come at once late would not be quiet.
        if on.contains(&QuietEnd) {
            on.retain(|feature| *feature != Herd);
        }
        // An ambush draws when the proxy drains by itself.
        if on.contains(&Ambush) {
            on.retain(|feature| *feature != Drain);
        }
        // A proxy that was killed while it drained starts again and does not drain.
        if on.contains(&Drain) || on.contains(&Ambush) {
            on.retain(|feature| *feature != CrashProxy);
        }
        self
    }
}

/// A scenario that is being made up.
pub(super) struct Draw {
    random: ChaCha8Rng,
    pub(super) on: Vec<Feature>,
    pub(super) engine: EngineKind,
}

impl Draw {
    /// The draw that follows from `genome`.
    pub(super) fn new(genome: &Genome) -> Self {
        let mut draw =
            Draw { random: ChaCha8Rng::seed_from_u64(genome.seed), on: genome.features.clone(), engine: genome.engine };
        draw.turn_to(Part::Hosts);
        draw
    }

    /// What follows is drawn for that part. So a feature that changes one part leaves the others as they are.
    pub(super) fn turn_to(&mut self, part: Part) {
        self.random.set_stream(1 + part as u64);
    }

    pub(super) fn has(&self, feature: Feature) -> bool {
        self.on.contains(&feature)
    }

    /// A number from `least` to `most`.
    pub(super) fn number(&mut self, least: u64, most: u64) -> u64 {
        least + self.random.next_u64() % (most - least + 1)
    }

    /// A number of bytes from 1 to about `most`: as often between 10 and 100 as between 1,000 and 10,000. Nearly every bug with many bytes
    /// shows with a few of the largest, and many large ones take long.
    pub(super) fn size(&mut self, most: u64) -> u64 {
        let digits = self.number(1, u64::from(most.ilog2()) + 1);
        self.number(1, 1 << digits).min(most)
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
