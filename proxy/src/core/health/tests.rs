//! Tests when upstreams are ejected and come back, in single cases and as property tests.

mod rows;

use proptest::prelude::*;

use super::*;
use crate::core::upstream::UpstreamId;

/// With this random number the jitter is nil: it is the middle of every spread.
const fn middle(backoff: Duration) -> u64 {
    (backoff.as_nanos() / 5) as u64
}

const FAILURE: AttemptResult = AttemptResult::Failure(Charge::Unreachable);
const DOUBT: AttemptResult = AttemptResult::Failure(Charge::Tunnel);
const EMPTY: AttemptResult = AttemptResult::Failure(Charge::EmptyTunnel);

const BASE: Duration = Duration::from_secs(5);

fn policy() -> HealthPolicy {
    HealthPolicy {
        failure_threshold: NonZeroU32::new(3).unwrap(),
        recovery_threshold: NonZeroU32::MIN,
        backoff_base: BASE,
        backoff_max: Duration::from_secs(60),
        max_ejection_percent: 50,
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
        let change = self.health.report(&self.policy, attempt, result, middle(BASE), at(now));
        let suspect = matches!(result, AttemptResult::Failure(_)) && self.health.is_suspect(&self.policy);
        if suspect { Some(self.health.suspect(&self.policy, at(now))) } else { change }
    }

    /// Ejected at second 10, to be probed from second 15.
    fn ejected() -> Self {
        let mut bench = Bench::new();
        for _ in 0..3 {
            bench.ends(FAILURE, 1, false, 10);
        }
        assert_eq!(bench.health.probe_due(), Some(at(15)));
        bench
    }
}

/// The pool doesn't take its lock for what can change nothing.
#[test]
fn what_does_not_concern_the_sound_changes_nothing_of_them_and_the_rest_does() {
    let results = [AttemptResult::Success, AttemptResult::Neutral, AttemptResult::Reached];
    for result in results.into_iter().chain([FAILURE, DOUBT, EMPTY, AttemptResult::Delivered]) {
        // A tunnel that brought nothing is counted beside failures, and forgotten once one has delivered.
        let mut bench = Bench::new();
        bench.ends(EMPTY, 1, false, 2);
        assert!(bench.health.is_sound());
        let before = bench.health;
        bench.ends(result, 3, false, 4);
        assert_eq!(bench.health != before, result.concerns_the_sound(), "{result:?}");
    }
}

#[test]
fn only_failures_in_a_row_eject() {
    let mut bench = Bench::new();
    for round in 0..5 {
        assert_eq!(bench.ends(FAILURE, round, false, round), None);
        assert_eq!(bench.ends(FAILURE, round, false, round), None);
        assert_eq!(bench.ends(AttemptResult::Success, round, false, round), None);
        assert_eq!(bench.health.failures(), 0);
    }
    bench.ends(FAILURE, 9, false, 9);
    bench.ends(AttemptResult::Neutral, 9, false, 9);
    bench.ends(FAILURE, 9, false, 9);
    assert!(bench.health.is_eligible());
    let change = bench.ends(FAILURE, 9, false, 10);
    assert_eq!(change, Some(Change::Ejected { failures: 3, until: at(15) }));
    assert!(!bench.health.is_eligible());
}

#[test]
fn what_started_before_the_ejection_changes_nothing() {
    for result in [AttemptResult::Success, FAILURE, AttemptResult::Neutral] {
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
    assert!(bench.health.take_probe(false, at(15)));
    assert_eq!(bench.ends(AttemptResult::Success, 15, true, 16), None);
    assert!(bench.health.take_probe(false, at(16)), "the next probe need not wait");
    assert!(bench.ends(FAILURE, 16, true, 17).is_some());
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
    // At the very moment of the recovery nobody could know of it.
    for started in [12, 12, 16, 16] {
        assert_eq!(bench.ends(FAILURE, started, false, 20), None);
    }
    assert!(bench.health.is_eligible());
    assert_eq!(bench.health.failures(), 0);
}

#[test]
fn one_probe_at_a_time_and_none_before_its_time() {
    let mut bench = Bench::ejected();
    assert!(!bench.health.take_probe(false, at(14)));
    assert!(bench.health.take_probe(false, at(15)));
    assert!(!bench.health.take_probe(false, at(99)));
    assert_eq!(bench.health.probe_due(), None);
}

#[test]
fn a_failed_probe_doubles_the_back_off_up_to_its_cap() {
    let mut bench = Bench::ejected();
    let mut now = 15;
    for (round, backoff) in [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60)] {
        assert!(bench.health.take_probe(false, at(now)));
        let attempt = Attempt { upstream: UpstreamId::new(0), started: at(now), probe: true };
        let random = middle(Duration::from_secs(backoff));
        let change = bench.health.report(&bench.policy, attempt, FAILURE, random, at(now));
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
        assert_eq!(bench.ends(FAILURE, 11, false, 12), None);
    }
    assert_eq!(bench.health.probe_due(), Some(at(15)), "the probe comes when it was to come");
    assert_eq!(bench.health.failures(), 43, "though each is counted");
}

#[test]
fn a_neutral_probe_is_due_again_and_the_back_off_does_not_grow() {
    let mut bench = Bench::ejected();
    assert!(bench.health.take_probe(false, at(15)));
    assert_eq!(bench.ends(AttemptResult::Neutral, 15, true, 16), None);
    assert_eq!(bench.health.probe_due(), Some(at(21)));
    assert_eq!(bench.health.ejection().map(|ejection| ejection.round), Some(0));
    assert_eq!(bench.health.failures(), 3);
}

#[test]
fn an_attempt_that_is_no_probe_does_not_give_the_probe_back() {
    let mut bench = Bench::ejected();
    assert!(bench.health.take_probe(false, at(15)));
    bench.ends(FAILURE, 15, false, 16);
    bench.ends(AttemptResult::Neutral, 15, false, 16);
    assert_eq!(bench.health.probe_due(), None);
}

/// What a target could have caused only has the upstream set aside, and the first success of its probe ends that.
#[test]
fn one_taken_out_by_hand_is_as_one_that_failed_too_often() {
    let mut bench = Bench::new();
    let change = bench.health.take_out(&bench.policy, middle(BASE), at(10));
    assert_eq!(change, Some(Change::Ejected { failures: 3, until: at(15) }));
    let seen = |bench: &Bench| (bench.health.failures(), bench.health.ejection());
    assert_eq!(seen(&bench), seen(&Bench::ejected()));
    assert_eq!(bench.health.take_out(&bench.policy, 0, at(11)), None);
    assert_eq!(seen(&bench), seen(&Bench::ejected()), "its back-off does not begin anew");
    assert_eq!(bench.ends(AttemptResult::Success, 10, false, 12), None, "began before");
    assert!(bench.ends(AttemptResult::Success, 11, false, 12).is_some());
    let mut suspect = Bench::new();
    for _ in 0..3 {
        suspect.ends(DOUBT, 1, false, 10);
    }
    assert!(suspect.health.take_out(&suspect.policy, middle(BASE), at(11)).is_some());
    assert_eq!(suspect.health.ejection().map(|ejection| (ejection.suspected, ejection.until)), Some((false, at(16))));
}

#[test]
fn one_let_in_by_hand_begins_anew() {
    let mut bench = Bench::ejected();
    assert_eq!(bench.health.let_in(at(12)), Some(Change::Recovered { after: Duration::from_secs(2) }));
    assert_eq!(bench.health, UpstreamHealth::anew(at(12)));
    assert_eq!(bench.health.let_in(at(13)), None);
    for _ in 0..3 {
        assert_eq!(bench.ends(FAILURE, 12, true, 13), None, "a probe that was under way says nothing any more");
    }
}

#[test]
fn what_a_target_could_have_caused_is_probed_at_once() {
    for charge in [Charge::Page, Charge::Tunnel, Charge::EmptyTunnel] {
        let mut bench = Bench::new();
        for now in 1..=2 {
            assert_eq!(bench.ends(AttemptResult::Failure(charge), 0, false, now), None);
        }
        let change = bench.ends(AttemptResult::Failure(charge), 0, false, 3);
        assert_eq!(change, Some(Change::Suspected { failures: 3 }));
        assert_eq!(bench.health.probe_due(), Some(at(3)));
        assert!(bench.health.may_serve() && bench.health.is_out_in_doubt());
        let mut failing = Bench { policy: bench.policy, health: bench.health };
        for bench in [&mut bench, &mut failing] {
            // In the same instant.
            assert!(bench.health.take_probe(false, at(3)));
        }
        assert!(matches!(bench.ends(AttemptResult::Success, 3, true, 3), Some(Change::Recovered { .. })));
        assert_eq!((bench.health.is_eligible(), bench.health.failures()), (true, 0));
        let change = failing.ends(AttemptResult::Failure(charge), 3, true, 4);
        assert_eq!(change, Some(Change::Ejected { failures: 4, until: at(9) }));
        assert!(failing.health.take_probe(false, at(9)));
        let change = failing.ends(AttemptResult::Failure(charge), 9, true, 10);
        assert!(matches!(change, Some(Change::BackedOff { .. })), "{change:?}");
    }
}

#[test]
fn tunnels_that_bring_nothing_are_counted_apart_from_the_successes_that_they_began_as() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        assert_eq!(bench.ends(AttemptResult::Success, 1, false, 1), None);
        assert_eq!(bench.ends(EMPTY, 1, false, 1), None);
    }
    assert_eq!(bench.ends(AttemptResult::Delivered, 1, false, 1), None);
    for _ in 0..2 {
        assert_eq!(bench.ends(EMPTY, 1, false, 1), None);
    }
    assert_eq!(bench.ends(EMPTY, 1, false, 1), Some(Change::Suspected { failures: 3 }));
    assert_eq!(bench.health.ejection().unwrap().charge, Charge::EmptyTunnel);
}

#[test]
fn to_be_reached_disproves_that_it_can_not_be_reached_and_nothing_else() {
    let mut bench = Bench::ejected();
    assert!(bench.health.take_probe(false, at(15)));
    assert!(matches!(bench.ends(AttemptResult::Reached, 15, true, 16), Some(Change::Recovered { .. })));

    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.ends(AttemptResult::Failure(Charge::BadAnswer), 1, false, 10);
    }
    assert!(bench.health.take_probe(false, at(15)));
    assert_eq!(bench.ends(AttemptResult::Reached, 15, true, 16), None);
    assert_eq!(bench.health.probe_due(), Some(at(21)));
    assert!(!bench.health.take_probe(false, at(17)));
    assert!(bench.health.take_probe(true, at(17)), "it is probed with the first target that there is");
    assert_eq!(bench.ends(AttemptResult::Neutral, 17, true, 17), None);
    assert!(!bench.health.take_probe(true, at(17)), "a probe that could not be sent is not sent again at once");
    assert!(bench.health.take_probe(true, at(22)));
    assert!(matches!(
        bench.ends(AttemptResult::Failure(Charge::BadAnswer), 22, true, 23),
        Some(Change::BackedOff { .. })
    ));
    assert!(!bench.health.take_probe(true, at(24)), "a failed probe has its back-off");
}

#[derive(Clone, Debug)]
enum Step {
    Ends {
        result: AttemptResult,
        age: u64,
    },
    /// The probe, if it is due, succeeds.
    Probe,
    Wait {
        secs: u64,
    },
}

fn target_caused() -> impl Strategy<Value = Step> {
    let results = [DOUBT, EMPTY, AttemptResult::Failure(Charge::Page), AttemptResult::Neutral, AttemptResult::Success];
    prop_oneof![
        4 => (prop::sample::select(results.to_vec()), 0u64..9).prop_map(|(result, age)| Step::Ends { result, age }),
        1 => Just(Step::Probe),
        1 => (0u64..9).prop_map(|secs| Step::Wait { secs }),
    ]
}

proptest! {
    /// Nothing that targets can cause takes an upstream out for longer than one successful probe, and that one is due at
    /// once.
    #[test]
    fn targets_take_no_upstream_out_for_longer_than_one_probe(steps in prop::collection::vec(target_caused(), 1..200)) {
        let mut bench = Bench::new();
        let mut now = 10;
        for step in steps {
            match step {
                Step::Ends { result, age } => {
                    let change = bench.ends(result, now - age, false, now);
                    let out = matches!(change, Some(Change::Ejected { .. } | Change::BackedOff { .. }));
                    prop_assert!(!out, "{change:?}");
                }
                Step::Probe => {
                    if bench.health.take_probe(false, at(now)) {
                        let change = bench.ends(AttemptResult::Success, now, true, now);
                        let recovered = matches!(change, Some(Change::Recovered { .. }));
                        prop_assert!(recovered, "{change:?}");
                    }
                    prop_assert!(bench.health.is_eligible());
                }
                Step::Wait { secs } => now += secs,
            }
            prop_assert!(bench.health.probe_due().is_none_or(|due| due <= at(now)));
            prop_assert!(bench.health.may_serve());
        }
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

#[test]
fn one_that_has_failed_or_is_out_is_not_sound() {
    let mut bench = Bench::new();
    assert_eq!(bench.ends(AttemptResult::Failure(Charge::BadAnswer), 1, false, 1), None);
    assert!(bench.health.is_eligible() && !bench.health.is_sound(), "a success would change its count");
    bench.ends(AttemptResult::Success, 2, false, 2);
    assert!(bench.health.is_sound());
    assert!(!Bench::ejected().health.is_sound());
    assert!(bench.health.take_out(&policy(), 0, at(11)).is_some() && !bench.health.is_sound(), "it takes no picks");
}
