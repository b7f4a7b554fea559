//! Searches small scopes whole: every order of what can happen to two or three upstreams, up to a depth.
//!
//! Schedule, balancer, health, attribution and budgets are played together, as the pool plays them ([`world`]), beside a
//! second telling of what ARCHITECTURE.md promises of them ([`laws`]). Each step is held against the laws. A state that
//! differs from one already seen only in when it came about is not looked at again. The search goes breadth first, so
//! the counterexample that it prints is as short as any.

mod blamed;
mod heard;
mod laws;
mod scope;
mod world;

use std::collections::BTreeSet;

use scope::{How, Reload, Scope, Step};
use world::World;

/// Ends in every way, one request at a time: what one upstream's fault is, and what it takes to come back.
const ENDS: Scope = Scope {
    name: "two upstreams, one request at a time",
    weights: &[2, 1],
    failure_threshold: 2,
    recovery_threshold: 1,
    requests: 1,
    failures: &[How::Refused, How::Unreadable, How::BadGateway, How::Silent],
    tunnels_may_be_empty: true,
    reloads: &[],
    ..Scope::PLAIN
};

/// What happens to one attempt while another is under way, and while upstreams change their weight, their password and
/// their place.
const OVERLAPS: Scope = Scope {
    name: "two upstreams, two requests at a time and reloads",
    reloads: &[Reload::Weights(&[0, 1]), Reload::Weights(&[3, 2]), Reload::KnownOtherwise(0), Reload::Replaced(0)],
    ..Scope::PLAIN
};

/// Who comes back only after two successes, and retries that run out.
const SLOW_RECOVERY: Scope = Scope {
    name: "two upstreams, two successes restore, few retries",
    recovery_threshold: 2,
    retry_percent: 50,
    requests: 1,
    failures: &[How::Refused, How::BadGateway],
    ..Scope::PLAIN
};

/// Attempts that run out, and how many may be out in doubt.
const THREE: Scope = Scope {
    name: "three upstreams, two attempts",
    weights: &[3, 2, 1],
    max_attempts: 2,
    reloads: &[Reload::Weights(&[1, 0, 1])],
    ..Scope::PLAIN
};

/// How a search ended.
struct Searched {
    states: usize,
    /// The shortest steps that break a law, and the law.
    counterexample: Option<(Vec<Step>, String)>,
}

/// Every order of `depth` steps.
fn search(scope: &'static Scope, depth: usize) -> Searched {
    let mut seen = BTreeSet::new();
    let mut states: Vec<(usize, Option<Step>)> = vec![(0, None)];
    let mut level = 0..1;
    for _ in 0..depth {
        for state in level.clone() {
            let path = path(&states, state);
            let world = World::played(scope, &path);
            for step in world.steps() {
                let mut next = world.clone();
                if let Err(law) = next.play(step) {
                    let steps = path.into_iter().chain([step]).collect();
                    return Searched { states: states.len(), counterexample: Some((steps, law)) };
                }
                if seen.insert(next.fingerprint()) {
                    states.push((state, Some(step)));
                }
            }
        }
        level = level.end..states.len();
    }
    Searched { states: states.len(), counterexample: None }
}

/// The steps that lead to a state.
fn path(states: &[(usize, Option<Step>)], mut state: usize) -> Vec<Step> {
    let mut path = Vec::new();
    while let (before, Some(step)) = states[state] {
        path.push(step);
        state = before;
    }
    path.reverse();
    path
}

/// `NETDRIFT_SEARCH_DEEPER` adds so many steps to every search.
fn holds(scope: &'static Scope, depth: usize) {
    let deeper = std::env::var("NETDRIFT_SEARCH_DEEPER").map_or(0, |more| more.parse().expect("a number of steps"));
    let searched = search(scope, depth + deeper);
    if let Some((steps, law)) = searched.counterexample {
        let steps: String = (1..).zip(steps).map(|(number, step)| format!("{number:>4}. {step:?}\n")).collect();
        panic!("{}: {law}\n{steps}", scope.name);
    }
    assert!(searched.states > 10_000, "{}: {} states are no search", scope.name, searched.states);
}

#[test]
fn ends_of_every_kind_keep_the_laws() {
    holds(&ENDS, 8);
}

#[test]
fn what_overlaps_keeps_the_laws() {
    holds(&OVERLAPS, 7);
}

#[test]
fn a_slow_recovery_keeps_the_laws() {
    holds(&SLOW_RECOVERY, 9);
}

#[test]
fn three_upstreams_keep_the_laws() {
    holds(&THREE, 7);
}
