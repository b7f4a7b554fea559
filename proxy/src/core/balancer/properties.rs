//! Shows the laws of picking and ejecting as property tests.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tests::{at, id, members, no_target, policy};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Pick,
    Report { upstream: u32, result: AttemptResult, age: u64, probe: bool },
    Probe,
    Failover { excluded: Vec<u32>, turn: u64 },
    Configure { weights: Vec<u32> },
    TakeOut { upstream: u32 },
    LetIn { upstream: u32 },
    Wait { secs: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let result = prop_oneof![
        Just(AttemptResult::Success),
        Just(AttemptResult::Failure(Charge::Unreachable)),
        Just(AttemptResult::Failure(Charge::Tunnel)),
        Just(AttemptResult::Failure(Charge::EmptyTunnel)),
        Just(AttemptResult::Reached),
        Just(AttemptResult::Delivered),
        Just(AttemptResult::Neutral)
    ];
    let report = (0u32..6, result, 0u64..4, any::<bool>());
    prop_oneof![
        4 => Just(Step::Pick),
        6 => report.prop_map(|(upstream, result, age, probe)| Step::Report { upstream, result, age, probe }),
        2 => Just(Step::Probe),
        3 => (prop::collection::vec(0u32..6, 0..4), any::<u64>())
            .prop_map(|(excluded, turn)| Step::Failover { excluded, turn }),
        1 => prop::collection::vec(0u32..4, 0..6).prop_map(|weights| Step::Configure { weights }),
        1 => (0u32..6).prop_map(|upstream| Step::TakeOut { upstream }),
        1 => (0u32..6).prop_map(|upstream| Step::LetIn { upstream }),
        3 => (0u64..20).prop_map(|secs| Step::Wait { secs }),
    ]
}

proptest! {
    #[test]
    fn the_laws_hold_whatever_happens(
        weights in prop::collection::vec(0u32..4, 0..6),
        failures in 1u32..4,
        successes in 1u32..3,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let policy = policy(failures, successes);
        let mut balancer = Balancer::new(policy, &members(&weights)).unwrap();
        let (mut weights, mut now, mut ticket) = (weights, 100, 0u64);
        // The transitions told so far, which must be the truth about who is picked.
        let mut ejected = BTreeSet::new();
        let mut picked = [0i64; 6];
        let mut number = 0;
        for step in steps {
            let usable: Vec<u32> = (0..).zip(&weights).filter(|(_, weight)| **weight > 0).map(|(n, _)| n).collect();
            let eligible: Vec<u32> = usable.iter().copied().filter(|n| !ejected.contains(n)).collect();
            prop_assert_eq!(balancer.eligible_count(), eligible.len());
            prop_assert_eq!(balancer.usable_count(), usable.len());
            match step {
                Step::Pick => {
                    let pick = balancer.epoch().pick(ticket).map(UpstreamId::number);
                    ticket += 1;
                    prop_assert_eq!(pick.is_some(), !eligible.is_empty());
                    if let Some(pick) = pick {
                        prop_assert!(eligible.contains(&pick), "{} of {:?}", pick, eligible);
                        picked[pick as usize] += 1;
                    }
                    // Within an epoch that starts anywhere: less than two picks off.
                    let sum: i64 = eligible.iter().map(|&n| i64::from(weights[n as usize])).sum();
                    for &n in &eligible {
                        let off = picked[n as usize] * sum - ticket as i64 * i64::from(weights[n as usize]);
                        prop_assert!(off.abs() < 2 * sum);
                    }
                }
                Step::Report { upstream, result, age, probe } => {
                    let attempt = Attempt { upstream: id(upstream), started: at(now - age), probe };
                    let before = balancer.health(id(upstream));
                    let transition = balancer.report(attempt, result, ticket, 7, at(now));
                    let was_ejected = ejected.contains(&upstream);
                    match transition.map(|transition| transition.change) {
                        Some(Change::Suspected { failures: row }) => {
                            prop_assert!(!was_ejected && row >= failures);
                            prop_assert_eq!(balancer.health(id(upstream)).unwrap().probe_due(), Some(at(now)));
                            ejected.insert(upstream);
                        }
                        Some(Change::Ejected { failures: row, until }) => {
                            let suspected = before.and_then(|health| health.ejection()).is_some_and(|out| out.suspected);
                            prop_assert!(was_ejected == suspected && row >= failures && until > at(now));
                            let certain = result == AttemptResult::Failure(Charge::Unreachable);
                            prop_assert!(certain || probe, "what can't tell ejects by a failed probe only");
                            ejected.insert(upstream);
                        }
                        Some(Change::Recovered { .. }) => {
                            prop_assert!(was_ejected);
                            prop_assert!(matches!(result, AttemptResult::Success | AttemptResult::Reached));
                            ejected.remove(&upstream);
                        }
                        Some(Change::BackedOff { until }) => {
                            prop_assert!(was_ejected && matches!(result, AttemptResult::Failure(_)) && until > at(now));
                        }
                        None => {}
                    }
                    let since = before.and_then(|health| health.ejection()).map(|ejection| ejection.since);
                    if successes == 1 && result == AttemptResult::Success && since.is_some_and(|since| at(now - age) > since) {
                        prop_assert!(!ejected.contains(&upstream), "the first success restores");
                    }
                }
                Step::Probe => {
                    let wakeup = balancer.next_wakeup();
                    let probe = balancer.take_probe(no_target, at(now)).map(UpstreamId::number);
                    prop_assert_eq!(probe.is_some(), wakeup.is_some_and(|due| due <= at(now)));
                    if let Some(probe) = probe {
                        prop_assert!(ejected.contains(&probe) && usable.contains(&probe));
                        prop_assert!(balancer.health(id(probe)).unwrap().probe_due().is_none());
                    }
                }
                Step::Failover { excluded, turn } => {
                    let rest = |among: &[u32]| -> Vec<u32> {
                        among.iter().copied().filter(|n| !excluded.contains(n)).collect()
                    };
                    let ids: Vec<UpstreamId> = excluded.iter().map(|&n| id(n)).collect();
                    let pick = balancer.failover(&ids, turn, |id| u64::from(id.number())).map(UpstreamId::number);
                    if eligible.is_empty() {
                        let rest = rest(&usable);
                        prop_assert_eq!(pick.is_some(), !rest.is_empty());
                        let failed = |n: u32| balancer.health(id(n)).unwrap().failures();
                        prop_assert!(pick.is_none_or(|pick| rest.iter().all(|&n| failed(pick) <= failed(n))));
                    } else {
                        let rest = rest(&eligible);
                        prop_assert_eq!(pick.is_some(), !rest.is_empty());
                        prop_assert!(pick.is_none_or(|pick| rest.contains(&pick)));
                    }
                }
                Step::Configure { weights: new } => {
                    weights = new;
                    let epoch = balancer.configure(policy, &members(&weights), &[], (ticket, at(now))).unwrap();
                    prop_assert_eq!(epoch.is_some(), balancer.epoch().number() != number);
                    ejected.retain(|&n| (n as usize) < weights.len());
                }
                Step::TakeOut { upstream } => {
                    let before = balancer.health(id(upstream));
                    let ejection = before.and_then(|health| health.ejection());
                    let may = before.is_some() && ejection.is_none_or(|ejection| ejection.suspected);
                    prop_assert_eq!(balancer.take_out(id(upstream), ticket, 7, at(now)).is_some(), may);
                    if may {
                        ejected.insert(upstream);
                    }
                }
                Step::LetIn { upstream } => {
                    let told = balancer.let_in(id(upstream), ticket, at(now));
                    prop_assert_eq!(told.is_some(), ejected.remove(&upstream));
                }
                Step::Wait { secs } => now += secs,
            }
            if balancer.epoch().number() != number {
                number = balancer.epoch().number();
                ticket = 0;
                picked.fill(0);
            }
        }
    }
}
