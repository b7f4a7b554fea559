//! Tests which upstreams are picked as health and weights change.

use std::num::NonZeroU32;
use std::time::Duration;

use super::*;
use crate::core::upstream::Weight;

pub(super) fn policy(failures: u32, successes: u32) -> HealthPolicy {
    HealthPolicy {
        failure_threshold: NonZeroU32::new(failures).unwrap(),
        recovery_threshold: NonZeroU32::new(successes).unwrap(),
        backoff_base: Duration::from_secs(5),
        backoff_max: Duration::from_secs(60),
        max_ejection_percent: 50,
    }
}

pub(super) fn id(number: u32) -> UpstreamId {
    UpstreamId::new(number)
}

pub(super) fn members(weights: &[u32]) -> Vec<Member> {
    (0..).zip(weights).map(|(n, &weight)| Member { id: id(n), weight: Weight::new(weight).unwrap() }).collect()
}

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_secs(seconds))
}

/// One failure ejects, one success restores.
fn balancer(weights: &[u32]) -> Balancer {
    Balancer::new(policy(1, 1), &members(weights)).unwrap()
}

impl Balancer {
    fn ends(&mut self, upstream: u32, result: AttemptResult, started: u64, now: u64) -> Option<Transition> {
        let attempt = Attempt { upstream: id(upstream), started: at(started), probe: false };
        self.report(attempt, result, 0, 0, at(now))
    }

    /// The next `count` turns.
    fn turns(&self, count: u64) -> Vec<u32> {
        (0..count).map(|ticket| self.epoch().pick(ticket).unwrap().number()).collect()
    }
}

fn no_load(_: UpstreamId) -> u64 {
    0
}

#[test]
fn turns_follow_the_weights() {
    assert_eq!(balancer(&[3, 2, 1, 0]).turns(6), [0, 1, 0, 1, 0, 2]);
}

#[test]
fn an_ejection_and_a_recovery_each_start_an_epoch() {
    let mut balancer = balancer(&[3, 2, 1]);
    let transition = balancer.ends(0, AttemptResult::Failure(Charge::Unreachable), 1, 2).unwrap();
    assert_eq!(transition, Transition { upstream: id(0), change: Change::Ejected { failures: 1, until: at(6) } });
    assert_eq!((balancer.epoch().number(), balancer.eligible_count()), (1, 2));
    assert!(!balancer.turns(30).contains(&0));
    let transition = balancer.ends(0, AttemptResult::Success, 3, 4).unwrap();
    assert_eq!(transition.change, Change::Recovered { after: Duration::from_secs(2) });
    assert_eq!((balancer.epoch().number(), balancer.eligible_count()), (2, 3));
    assert!(balancer.turns(6).contains(&0));
}

/// The first numbers of SplitMix64 from seed 0, as its authors publish them.
#[test]
fn numbers_are_mixed_as_by_splitmix64() {
    assert_eq!([0, 0x9e37_79b9_7f4a_7c15].map(mix), [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
}

#[test]
fn an_epoch_begins_where_the_old_one_and_its_number_send_it() {
    let mut balancer = balancer(&[996, 1, 1]);
    let mut begins = |weights: &[u32], ticket| {
        let policy = policy(1, 1);
        let epoch = balancer.configure(policy, &members(weights), &[], (ticket, at(1))).unwrap().unwrap();
        for ticket in 0..3 {
            assert_eq!(epoch.pick(ticket), epoch.schedule().at(epoch.offset() + ticket));
        }
        (epoch.number(), epoch.offset())
    };
    assert_eq!([begins(&[996, 1], 5), begins(&[996, 1, 1], 7), begins(&[996, 1], 9)], [(1, 886), (2, 915), (3, 537)]);
}

#[test]
fn reports_that_change_nobodys_eligibility_keep_the_epoch() {
    let mut balancer = balancer(&[3, 2, 0]);
    balancer.ends(0, AttemptResult::Success, 1, 1);
    balancer.ends(1, AttemptResult::Neutral, 1, 1);
    assert!(
        balancer.ends(2, AttemptResult::Failure(Charge::Unreachable), 1, 1).is_some(),
        "left over from before its weight was 0"
    );
    assert_eq!(balancer.epoch().number(), 0);
}

#[test]
fn reports_on_strangers_are_ignored() {
    assert_eq!(balancer(&[1]).ends(7, AttemptResult::Failure(Charge::Unreachable), 1, 1), None);
}

#[test]
fn failover_takes_the_least_loaded_for_its_weight() {
    let balancer = balancer(&[1, 4, 2, 0]);
    let loads = [1, 7, 2, 0];
    let load = |id: UpstreamId| loads[id.number() as usize];
    assert_eq!(balancer.failover(&[], 0, load), Some(id(2)), "2/1, 8/4, 3/2");
    assert_eq!(balancer.failover(&[id(2)], 0, load), Some(id(0)), "2/1 and 8/4 tie");
    assert_eq!(balancer.failover(&[id(2), id(0)], 0, load), Some(id(1)));
    assert_eq!(balancer.failover(&[id(2), id(0), id(1)], 0, load), None);
    assert_eq!(balancer.failover(&[], 0, no_load), Some(id(1)));
    assert_eq!(balancer.failover(&[], 0, |_| u64::MAX), Some(id(1)), "no load overflows");
    let loads = [4, 2];
    let close = self::balancer(&[4, 3]);
    assert_eq!(close.failover(&[], 0, |id| loads[id.number() as usize]), Some(id(1)), "5/4, 3/3");
}

#[test]
fn failover_passes_over_the_ejected_while_anybody_is_eligible() {
    let mut balancer = balancer(&[1, 1]);
    balancer.ends(0, AttemptResult::Failure(Charge::Unreachable), 1, 1);
    assert_eq!(balancer.failover(&[id(1)], 0, no_load), None);
}

#[test]
fn with_all_ejected_the_least_failed_is_picked_and_ties_rotate() {
    let mut balancer = balancer(&[1, 1, 1, 0]);
    for upstream in 0..4 {
        balancer.ends(upstream, AttemptResult::Failure(Charge::Unreachable), 1, 1);
    }
    assert_eq!(balancer.epoch().pick(0), None);
    assert_eq!((balancer.eligible_count(), balancer.candidates(&[])), (0, 3));
    let picks = [0, 1, 2, 3].map(|turn| balancer.failover(&[], turn, no_load).unwrap().number());
    assert_eq!(picks, [0, 1, 2, 0]);
    balancer.ends(1, AttemptResult::Failure(Charge::Unreachable), 2, 3);
    let picks = [0, 1, 2].map(|turn| balancer.failover(&[], turn, no_load).unwrap().number());
    assert_eq!(picks, [0, 2, 0]);
    assert_eq!(balancer.failover(&[id(0), id(2)], 0, no_load), Some(id(1)));
    balancer.ends(1, AttemptResult::Success, 4, 5);
    assert_eq!(balancer.turns(3), [1, 1, 1]);
}

pub(super) fn no_target(_: UpstreamId, _: Charge) -> bool {
    false
}

#[test]
fn probes_go_out_when_due_one_each() {
    let mut balancer = balancer(&[1, 1, 1, 0]);
    for upstream in [1, 0, 3] {
        balancer.ends(upstream, AttemptResult::Failure(Charge::Unreachable), 1, 1 + u64::from(upstream));
    }
    assert_eq!(balancer.next_wakeup(), Some(at(5)));
    assert_eq!(balancer.take_probe(no_target, at(4)), None);
    assert_eq!(balancer.take_probe(no_target, at(9)), Some(id(0)), "the one due first");
    assert_eq!(balancer.next_wakeup(), Some(at(6)));
    assert_eq!(balancer.take_probe(no_target, at(9)), Some(id(1)));
    assert_eq!(balancer.take_probe(no_target, at(9)), None, "weight 0 is not probed");
    assert_eq!(balancer.next_wakeup(), None);
    let probe = Attempt { upstream: id(1), started: at(9), probe: true };
    assert!(balancer.report(probe, AttemptResult::Success, 0, 0, at(10)).is_some());
    assert_eq!(balancer.eligible_count(), 2);
}

#[test]
fn an_upstream_that_was_reached_is_probed_as_soon_as_there_is_a_target() {
    let mut balancer = balancer(&[1, 1]);
    balancer.ends(0, AttemptResult::Failure(Charge::BadAnswer), 1, 1);
    assert_eq!(
        (balancer.wants_target(), balancer.take_probe(|_, _| true, at(2))),
        (false, None),
        "it has its back-off"
    );
    assert_eq!(balancer.take_probe(no_target, at(9)), Some(id(0)));
    let probe = Attempt { upstream: id(0), started: at(9), probe: true };
    assert_eq!(balancer.report(probe, AttemptResult::Reached, 0, 0, at(9)), None);
    assert!(balancer.wants_target());
    assert_eq!(balancer.take_probe(no_target, at(10)), None);
    let for_it = |id: UpstreamId, charge| id.number() == 0 && charge == Charge::BadAnswer;
    assert_eq!(balancer.take_probe(for_it, at(10)), Some(id(0)));
    assert!(!balancer.wants_target(), "it is under way");
    let probe = Attempt { upstream: id(0), started: at(10), probe: true };
    assert_eq!(balancer.report(probe, AttemptResult::Neutral, 0, 0, at(10)), None);
    assert!(!balancer.wants_target(), "there was one");
    assert_eq!(
        balancer.take_probe(for_it, at(10)),
        None,
        "what the proxy lacks itself does not have it ask without end"
    );
}

#[test]
fn one_that_has_its_back_off_keeps_no_other_from_its_target() {
    let mut balancer = balancer(&[1, 1, 1]);
    balancer.ends(1, AttemptResult::Failure(Charge::BadAnswer), 1, 1);
    assert_eq!(balancer.take_probe(no_target, at(9)), Some(id(1)));
    balancer.ends(0, AttemptResult::Failure(Charge::BadAnswer), 9, 9);
    let probe = Attempt { upstream: id(1), started: at(9), probe: true };
    balancer.report(probe, AttemptResult::Reached, 0, 0, at(9));
    let due = |n| balancer.health(id(n)).unwrap().probe_due();
    assert!(due(0) <= due(1), "it is the first in line");
    assert_eq!(balancer.take_probe(|_, _| true, at(10)), Some(id(1)), "and has to wait all the same");
}

#[test]
fn what_can_not_tell_takes_no_more_than_its_share_of_the_weight_out() {
    let out = |weights: &[u32]| {
        let mut balancer = balancer(weights);
        for upstream in 0..weights.len() as u32 {
            balancer.ends(upstream, AttemptResult::Failure(Charge::Tunnel), 1, 1);
        }
        (0..).zip(weights).map(|(n, _)| u8::from(!balancer.health(id(n)).unwrap().is_eligible())).collect::<Vec<_>>()
    };
    assert_eq!(out(&[1, 1, 1, 1, 1]), [1, 1, 0, 0, 0]);
    assert_eq!(out(&[1, 1, 1, 1]), [1, 1, 0, 0]);
    assert_eq!(out(&[3, 1, 1, 1]), [1, 0, 0, 0], "that was half of it");
    assert_eq!(out(&[9, 1, 1]), [1, 0, 0], "one may always leave");
    let mut certain = balancer(&[1, 1]);
    for upstream in 0..2 {
        certain.ends(upstream, AttemptResult::Failure(Charge::Unreachable), 1, 1);
    }
    assert_eq!(certain.eligible_count(), 0, "what is certain has no limit");
}

#[test]
fn a_last_resort_may_serve_unless_it_is_known_not_to() {
    let mut balancer = balancer(&[1, 1]);
    balancer.ends(0, AttemptResult::Failure(Charge::Unreachable), 1, 1);
    assert!(balancer.may_serve());
    balancer.ends(1, AttemptResult::Failure(Charge::BadAnswer), 1, 1);
    assert!(!balancer.may_serve());
    assert_eq!(balancer.take_probe(no_target, at(9)), Some(id(0)));
    assert_eq!(balancer.take_probe(no_target, at(9)), Some(id(1)));
    let probe = Attempt { upstream: id(1), started: at(9), probe: true };
    balancer.report(probe, AttemptResult::Reached, 0, 0, at(9));
    assert!(balancer.may_serve(), "it is there, whatever it answers");
    balancer.ends(1, AttemptResult::Failure(Charge::Unreachable), 10, 10);
    assert!(!balancer.may_serve());
}

#[test]
fn a_reload_keeps_health_and_an_unchanged_epoch() {
    let mut balancer = balancer(&[3, 2, 1]);
    balancer.ends(2, AttemptResult::Failure(Charge::Unreachable), 1, 1);
    let before = balancer.epoch().clone();
    let mut reordered = members(&[6, 4, 1]);
    reordered.reverse();
    assert_eq!(balancer.configure(policy(2, 1), &reordered, &[], (5, at(9))), Ok(None), "the same shares");
    assert_eq!(balancer.epoch(), &before);
    assert!(!balancer.health(id(2)).unwrap().is_eligible());

    let epoch = balancer.configure(policy(2, 1), &members(&[0, 4, 1, 1]), &[], (5, at(9))).unwrap().unwrap();
    assert_eq!((epoch.number(), epoch.eligible()), (2, 2));
    assert_eq!(balancer.usable_count(), 3);
    assert!(!balancer.health(id(2)).unwrap().is_eligible());
    assert_eq!(balancer.ends(1, AttemptResult::Failure(Charge::Unreachable), 2, 2), None, "the new threshold holds");

    balancer.configure(policy(2, 1), &members(&[1]), &[], (0, at(9))).unwrap();
    assert_eq!(balancer.health(id(2)), None);
}

/// It was made before the ejection, while the lock was free.
#[test]
fn a_plan_gives_no_turns_to_whoever_was_ejected_since_or_withholds_them_from_whoever_recovered() {
    let mut balancer = balancer(&[1, 1, 1]);
    let plan = |out: &[u32]| Plan::new(&members(&[1, 1, 1]), |one| out.iter().any(|id| self::id(*id) == one)).unwrap();
    let fits = plan(&[]);
    assert_eq!(balancer.adopt(policy(1, 1), fits.clone(), &[], (3, at(1))), None, "nothing has changed");
    balancer.ends(0, AttemptResult::Failure(Charge::Unreachable), 1, 2).unwrap();
    assert_eq!(balancer.adopt(policy(1, 1), fits.clone(), &[], (3, at(3))), None, "it stays ejected");
    assert!(!balancer.turns(30).contains(&0));
    let stale = plan(&[0]);
    balancer.ends(0, AttemptResult::Success, 3, 4).unwrap();
    assert_eq!(balancer.adopt(policy(1, 1), stale, &[], (3, at(5))), None, "it stays restored");
    assert!(balancer.turns(30).contains(&0));
}

#[test]
fn an_upstream_that_is_known_otherwise_begins_anew() {
    let mut balancer = balancer(&[1, 1, 1]);
    for upstream in 0..2 {
        balancer.ends(upstream, AttemptResult::Failure(Charge::BadAnswer), 1, 1);
    }
    let renewed = balancer.configure(policy(1, 1), &members(&[1, 1, 1]), &[id(0)], (5, at(3))).unwrap();
    assert_eq!(renewed.map(|epoch| epoch.eligible()), Some(2));
    assert_eq!(
        balancer.ends(0, AttemptResult::Failure(Charge::BadAnswer), 2, 4),
        None,
        "that was with the old password"
    );
    assert!(balancer.ends(0, AttemptResult::Failure(Charge::BadAnswer), 4, 4).is_some());
}

#[test]
fn an_ejected_upstream_is_out_and_one_that_is_unknown_is_not() {
    let mut balancer = balancer(&[1, 1]);
    balancer.ends(0, AttemptResult::Failure(Charge::Unreachable), 1, 1);
    assert_eq!([0, 1, 7].map(|number| balancer.is_out(id(number))), [true, false, false]);
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let mut balancer = balancer(&[3, 2, 1]);
    let before = balancer.clone();
    let mut weights = vec![10_000; 100];
    weights.push(1);
    let error = balancer.configure(policy(9, 9), &members(&weights), &[], (5, at(9))).unwrap_err();
    assert_eq!(error, ScheduleTooLong { period: 1_000_001 });
    assert_eq!(format!("{balancer:?}"), format!("{before:?}"));
}

/// An upstream of small weight is ejected and restored over and over, after one to three picks each. The others' shares
/// must stay near their weights. Each epoch is a draw from a schedule, less than two picks off its share; over n
/// epochs a fair draw strays by about √n, while starting each epoch at the top strays by a part of n.
#[test]
fn epochs_that_last_a_few_picks_favour_nobody() {
    const EPOCHS: u64 = 20_000;
    for seed in 1..=5 {
        let weights = [5.0, 3.0, 2.0, 1.0];
        let mut balancer = balancer(&[5, 3, 2, 1]);
        let (mut picked, mut share) = ([0.0; 4], [0.0; 4]);
        for round in 0..EPOCHS {
            let out = round % 2 == 1;
            let picks = 1 + mix(seed * EPOCHS + round) % 3;
            for ticket in 0..picks {
                picked[balancer.epoch().pick(ticket).unwrap().number() as usize] += 1.0;
            }
            for (upstream, share) in share.iter_mut().enumerate() {
                *share += match (out, upstream) {
                    (true, 3) => 0.0,
                    (true, _) => picks as f64 * weights[upstream] / 10.0,
                    (false, _) => picks as f64 * weights[upstream] / 11.0,
                };
            }
            let result = if out { AttemptResult::Success } else { AttemptResult::Failure(Charge::Unreachable) };
            let attempt = Attempt { upstream: id(3), started: at(round * 10 + 5), probe: false };
            balancer.report(attempt, result, picks, 0, at(round * 10 + 6)).unwrap();
        }
        let strays: Vec<f64> = picked.iter().zip(share).map(|(picked, share)| picked - share).collect();
        let bound = 4.0 * (EPOCHS as f64).sqrt();
        assert!(strays.iter().all(|stray| stray.abs() < bound), "seed {seed}: {strays:?} against {bound}");
    }
}
