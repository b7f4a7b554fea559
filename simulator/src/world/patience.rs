//! A simulated engine gives up a run that spins or lasts too long, instead of hanging all other runs.
//!
//! Tasks can't be stopped from outside. If a task works without end but yields, it is polled again and again while the clock stands still,
//! so the engine counts these polls. A task that never yields holds its thread for good: nothing in this process can end it, so [`end_when_stalled`] ends
//! the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::record::GaveUp;
use crate::scenario::HostName;

/// A run spins if tasks have more turns than this within one step of the clock, and the turns beyond use more processor time than this. The
/// busiest steps of the shipped scenarios have some hundreds of turns.
const TURNS: u64 = 10_000;
const SPIN_TIME: Duration = Duration::from_secs(3);
/// How much processor time a run may use. Unlike wall-clock time, it does not depend on what else the machine does.
const PROCESSOR_TIME: Duration = Duration::from_secs(60);
/// After how many turns and steps the processor time is read again. Reading it costs more than a turn.
const LOOK_EVERY: u64 = 1024;
const SPIN_LOOK_EVERY: u64 = 64;
/// How long a single turn may last, in wall-clock time.
const STALL: Duration = Duration::from_secs(60);

/// The runs that this process is playing.
static RUNS: Mutex<Vec<Weak<Pulse>>> = Mutex::new(Vec::new());

/// The pulse of a run: it beats with every turn of a task and every step of the clock.
#[derive(Debug)]
struct Pulse {
    scenario: String,
    seed: u64,
    beats: AtomicU64,
}

/// What an engine allows one run, and how much of it is used.
#[derive(Debug)]
pub struct Patience {
    pulse: Arc<Pulse>,
    turns: AtomicU64,
    /// The processor time at which this step had its allowed number of turns, in nanoseconds.
    spins_since_ns: AtomicU64,
    spin_time: Duration,
    now_ns: AtomicU64,
    /// The processor time of this thread when the run began, and how much more the run may use.
    began: Duration,
    processor_time: Duration,
    gave_up: OnceLock<GaveUp>,
}

impl Patience {
    /// Makes the patience for a run of `scenario` with `seed` that begins now on this thread.
    pub fn new(scenario: &str, seed: u64) -> Self {
        let pulse = Arc::new(Pulse { scenario: scenario.to_owned(), seed, beats: AtomicU64::new(0) });
        let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
        runs.retain(|run| run.strong_count() > 0);
        runs.push(Arc::downgrade(&pulse));
        let (turns, spins_since_ns, now_ns, gave_up) = Default::default();
        Patience {
            pulse,
            turns,
            spins_since_ns,
            spin_time: SPIN_TIME,
            now_ns,
            began: processor_time(),
            processor_time: PROCESSOR_TIME,
            gave_up,
        }
    }

    /// Counts a turn of a task of `host`, at the time that `now` tells. False if the run was given up: then no task may do anything any more.
    pub fn turn(&self, host: &HostName, now: impl FnOnce() -> Duration) -> bool {
        self.beat();
        let turns = self.turns.fetch_add(1, Ordering::Relaxed) + 1;
        if turns > TURNS && turns.is_multiple_of(SPIN_LOOK_EVERY) {
            let since = Duration::from_nanos(self.spins_since_ns.load(Ordering::Relaxed));
            if processor_time().saturating_sub(since) >= self.spin_time {
                self.give_up(GaveUp::Spin { host: host.clone(), at: now(), turns });
            }
        } else if turns == TURNS {
            self.spins_since_ns.store(nanoseconds(processor_time()), Ordering::Relaxed);
        }
        self.gave_up.get().is_none()
    }

    /// Notes that the clock shows `now`.
    pub fn step(&self, now: Duration) {
        self.now_ns.store(nanoseconds(now), Ordering::Relaxed);
        self.turns.store(0, Ordering::Relaxed);
        self.beat();
    }

    /// Why the run was given up, if it was.
    pub fn gave_up(&self) -> Option<&GaveUp> {
        self.gave_up.get()
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns.load(Ordering::Relaxed))
    }

    fn beat(&self) {
        let beats = self.pulse.beats.fetch_add(1, Ordering::Relaxed);
        if beats.is_multiple_of(LOOK_EVERY) && processor_time().saturating_sub(self.began) > self.processor_time {
            self.give_up(GaveUp::TooLong { limit: self.processor_time, at: self.now() });
        }
    }

    fn give_up(&self, why: GaveUp) {
        // Only the first reason counts.
        let _ = self.gave_up.set(why);
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let whole = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    whole + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Starts a thread that calls `end` with a text if a task of any run has had one turn for a minute. The text names the scenario and its
/// seed. Such a task can't be interrupted, so all that `end` can do is to end the process.
pub fn end_when_stalled(end: impl Fn(&str) + Send + 'static) {
    std::thread::spawn(move || {
        let mut seen = Vec::new();
        loop {
            std::thread::park_timeout(STALL);
            let runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner).clone();
            stalled(&runs, &mut seen).iter().for_each(|text| end(text));
        }
    });
}

/// Names those of `runs` whose pulse has not beaten since they were `seen`, and notes the beats of all.
fn stalled(runs: &[Weak<Pulse>], seen: &mut Vec<(Weak<Pulse>, u64)>) -> Vec<String> {
    let mut texts = Vec::new();
    let mut now = Vec::new();
    for run in runs {
        let Some(pulse) = run.upgrade() else { continue };
        let beats = pulse.beats.load(Ordering::Relaxed);
        if seen.iter().any(|(one, then)| Weak::ptr_eq(one, run) && *then == beats) {
            texts.push(format!(
                "{} seed {}: a task has had one turn for {STALL:?} without yielding, and nothing can interrupt it",
                pulse.scenario, pulse.seed
            ));
        }
        now.push((Weak::clone(run), beats));
    }
    *seen = now;
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_at_one_instant_are_counted_and_a_step_forgets_them() {
        let patience = Patience { spin_time: Duration::ZERO, ..Patience::new("x", 1) };
        let at = Duration::from_secs(2);
        let host = HostName::new("proxy");
        patience.step(Duration::from_secs(1));
        assert!((0..TURNS).all(|_| patience.turn(&host, || at)));
        patience.step(Duration::from_secs(2));
        assert!((0..TURNS).all(|_| patience.turn(&host, || at)));
        assert!(!(0..SPIN_LOOK_EVERY).all(|_| patience.turn(&host, || at)));
        assert_eq!(
            patience.gave_up(),
            Some(&GaveUp::Spin { host, at, turns: TURNS + SPIN_LOOK_EVERY - TURNS % SPIN_LOOK_EVERY })
        );
    }

    #[test]
    fn a_run_that_has_used_its_processor_time_is_given_up() {
        let shorter = Patience::new("x", 1);
        shorter.step(Duration::ZERO);
        assert_eq!(shorter.gave_up(), None);
        let longer = Patience { processor_time: Duration::ZERO, ..Patience::new("x", 1) };
        longer.step(Duration::from_secs(3));
        let at = Duration::from_secs(3);
        assert_eq!(longer.gave_up(), Some(&GaveUp::TooLong { limit: Duration::ZERO, at }));
    }

    #[test]
    fn a_run_whose_pulse_stands_still_is_named_with_its_seed() {
        let (stands, goes_on) = (Patience::new("stands", 77), Patience::new("goes-on", 78));
        let runs = [Arc::downgrade(&stands.pulse), Arc::downgrade(&goes_on.pulse)];
        let mut seen = Vec::new();
        assert!(stalled(&runs, &mut seen).is_empty());
        goes_on.step(Duration::ZERO);
        let told = stalled(&runs, &mut seen);
        assert!(matches!(told.as_slice(), [one] if one.starts_with("stands seed 77: ")), "{told:?}");
        drop(stands);
        goes_on.step(Duration::ZERO);
        assert!(stalled(&runs, &mut seen).is_empty());
    }
}
