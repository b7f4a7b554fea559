use proptest::prelude::*;

use super::*;
use crate::core::upstream::UpstreamId;

/// With this random number the jitter is nil: it is the middle of every spread.
const fn middle(backoff: Duration) -> u64 {
    (backoff.as_nanos() / 5) as u64
}

const BASE: Duration = Duration::from_secs(5);

fn policy() -> HealthPolicy {
    HealthPolicy {
        failure_threshold: NonZeroU32::new(3).unwrap(),
        recovery_threshold: NonZeroU32::MIN,
        backoff_base: BASE,
        backoff_max: Duration::from_secs(60),
    }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_secs(secs))
}

struct Bench {
    policy: HealthPolicy,
    health: UpstreamHealth,
}

impl Bench {
    fn new() -> Self {
        Bench { policy: policy(), health: UpstreamHealth::default() }
    }

    fn ends(&mut self, result: AttemptResult, started: u64, probe: bool, now: u64) -> Option<Change> {
        let attempt = Attempt { upstream: UpstreamId::new(0), started: at(started), probe };
        self.health.report(&self.policy, attempt, result, middle(BASE), at(now))
    }

    /// Ejected at second 10, to be probed from second 15.
    fn ejected() -> Self {
        let mut bench = Bench::new();
        for _ in 0..3 {
            bench.ends(AttemptResult::Failure, 1, false, 10);
        }
        assert_eq!(bench.health.probe_due(), Some(at(15)));
        bench
    }
}

#[test]
fn only_failures_in_a_row_eject() {
    let mut bench = Bench::new();
    for round in 0..5 {
        assert_eq!(bench.ends(AttemptResult::Failure, round, false, round), None);
        assert_eq!(bench.ends(AttemptResult::Failure, round, false, round), None);
        assert_eq!(bench.ends(AttemptResult::Success, round, false, round), None);
        assert_eq!(bench.health.failures(), 0);
    }
    bench.ends(AttemptResult::Failure, 9, false, 9);
    bench.ends(AttemptResult::Neutral, 9, false, 9);
    bench.ends(AttemptResult::Failure, 9, false, 9);
    assert!(bench.health.is_eligible());
    let change = bench.ends(AttemptResult::Failure, 9, false, 10);
    assert_eq!(change, Some(Change::Ejected { failures: 3, until: at(15) }));
    assert!(!bench.health.is_eligible());
}

#[test]
fn what_started_before_the_ejection_changes_nothing() {
    for result in [AttemptResult::Success, AttemptResult::Failure, AttemptResult::Neutral] {
        for started in [9, 10] {
            let mut bench = Bench::ejected();
            let before = bench.health;
            assert_eq!(bench.ends(result, started, false, 20), None);
            assert_eq!(bench.health, before);
        }
    }
}

#[test]
fn a_success_started_after_the_ejection_restores() {
    let mut bench = Bench::ejected();
    let change = bench.ends(AttemptResult::Success, 11, false, 12);
    assert_eq!(change, Some(Change::Recovered { after: Duration::from_secs(2) }));
    assert!(bench.health.is_eligible());
    assert_eq!(bench.health.failures(), 0);
}

#[test]
fn several_successes_restore_where_several_are_asked_for() {
    let mut bench = Bench::ejected();
    bench.policy.recovery_threshold = NonZeroU32::new(2).unwrap();
    assert!(bench.health.take_probe(at(15)));
    assert_eq!(bench.ends(AttemptResult::Success, 15, true, 16), None);
    assert!(bench.health.take_probe(at(16)), "the next probe need not wait");
    assert!(bench.ends(AttemptResult::Failure, 16, true, 17).is_some());
    assert_eq!(bench.ends(AttemptResult::Success, 18, false, 18), None, "a failure starts the count again");
    assert!(matches!(bench.ends(AttemptResult::Success, 19, false, 19), Some(Change::Recovered { .. })));
}

#[test]
fn a_success_that_does_not_yet_restore_makes_the_probe_due() {
    let mut bench = Bench::ejected();
    bench.policy.recovery_threshold = NonZeroU32::new(2).unwrap();
    assert_eq!(bench.ends(AttemptResult::Success, 11, false, 12), None);
    assert_eq!(bench.health.probe_due(), Some(at(12)));
}

#[test]
fn a_failure_started_before_the_recovery_is_old_news() {
    let mut bench = Bench::ejected();
    bench.ends(AttemptResult::Success, 15, false, 16);
    for _ in 0..3 {
        assert_eq!(bench.ends(AttemptResult::Failure, 12, false, 20), None);
    }
    assert!(bench.health.is_eligible());
    assert_eq!(bench.health.failures(), 0);
}

#[test]
fn one_probe_at_a_time_and_none_before_its_time() {
    let mut bench = Bench::ejected();
    assert!(!bench.health.take_probe(at(14)));
    assert!(bench.health.take_probe(at(15)));
    assert!(!bench.health.take_probe(at(99)));
    assert_eq!(bench.health.probe_due(), None);
}

#[test]
fn a_failed_probe_doubles_the_back_off_up_to_its_cap() {
    let mut bench = Bench::ejected();
    let mut now = 15;
    for (round, backoff) in [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60)] {
        assert!(bench.health.take_probe(at(now)));
        let attempt = Attempt { upstream: UpstreamId::new(0), started: at(now), probe: true };
        let random = middle(Duration::from_secs(backoff));
        let change = bench.health.report(&bench.policy, attempt, AttemptResult::Failure, random, at(now));
        now += backoff;
        assert_eq!(change, Some(Change::BackedOff { until: at(now) }));
        assert_eq!(bench.health.ejection().map(|ejection| (ejection.round, ejection.probing)), Some((round, false)));
        assert_eq!(bench.health.failures(), 3 + round);
    }
}

#[test]
fn a_short_outage_with_many_requests_does_not_end_in_the_longest_back_off() {
    let mut bench = Bench::ejected();
    for _ in 0..40 {
        assert_eq!(bench.ends(AttemptResult::Failure, 11, false, 12), None);
    }
    assert_eq!(bench.health.probe_due(), Some(at(15)), "the probe comes when it was to come");
    assert_eq!(bench.health.failures(), 43, "though each is counted");
}

#[test]
fn a_neutral_probe_is_due_again_and_the_back_off_does_not_grow() {
    let mut bench = Bench::ejected();
    assert!(bench.health.take_probe(at(15)));
    assert_eq!(bench.ends(AttemptResult::Neutral, 15, true, 16), None);
    assert_eq!(bench.health.probe_due(), Some(at(21)));
    assert_eq!(bench.health.ejection().map(|ejection| ejection.round), Some(0));
    assert_eq!(bench.health.failures(), 3);
}

#[test]
fn an_attempt_that_is_no_probe_does_not_give_the_probe_back() {
    let mut bench = Bench::ejected();
    assert!(bench.health.take_probe(at(15)));
    bench.ends(AttemptResult::Failure, 15, false, 16);
    bench.ends(AttemptResult::Neutral, 15, false, 16);
    assert_eq!(bench.health.probe_due(), None);
}

#[test]
fn the_end_of_a_probes_tunnel_does_not_give_back_the_next_probe() {
    for end in [AttemptResult::Cut, AttemptResult::Delivered] {
        let mut bench = Bench::ejected();
        bench.policy.recovery_threshold = NonZeroU32::new(2).unwrap();
        assert!(bench.health.take_probe(at(15)));
        assert_eq!(bench.ends(AttemptResult::Success, 15, true, 16), None);
        assert!(bench.health.take_probe(at(16)));
        assert_eq!(bench.ends(end, 15, true, 17), None);
        assert_eq!(bench.health.probe_due(), None);
    }
}

proptest! {
    #[test]
    fn the_back_off_keeps_within_a_fifth(base in 0u64..1 << 40, max in 0u64..1 << 50, round in 0u32..200, random: u64) {
        let policy = HealthPolicy {
            backoff_base: Duration::from_nanos(base), backoff_max: Duration::from_nanos(max), ..policy()
        };
        let whole = (u128::from(base) << round.min(64)).min(u128::from(max)).max(1);
        let backoff = policy.backoff(round, random).as_nanos();
        prop_assert!(backoff >= 1 && backoff * 5 >= whole * 4 && backoff * 5 <= whole * 6, "{} of {}", backoff, whole);
    }
}

#[test]
fn the_jitter_reaches_both_ends() {
    let policy = policy();
    assert_eq!(policy.backoff(0, 0), Duration::from_secs(4));
    assert_eq!(policy.backoff(0, 2 * middle(BASE)), Duration::from_secs(6));
    assert_eq!(policy.backoff(0, u64::MAX), policy.backoff(0, u64::MAX % (2 * middle(BASE) + 1)));
}
