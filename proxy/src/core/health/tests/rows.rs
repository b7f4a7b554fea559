//! Tests how failures in a row are counted that are certain, and that are not.

use super::*;

/// Reports to the health alone, where nobody sets a suspect aside.
fn ends(bench: &mut Bench, result: AttemptResult) -> Option<Change> {
    let attempt = Attempt { upstream: UpstreamId::new(0), started: at(1), probe: false };
    bench.health.report(&bench.policy, attempt, result, 0, at(1))
}

#[test]
fn one_doubt_among_failures_is_enough_for_a_probe_but_certain_ones_eject_alone() {
    let mut bench = Bench::new();
    bench.ends(FAILURE, 1, false, 1);
    bench.ends(DOUBT, 1, false, 1);
    assert_eq!(bench.ends(FAILURE, 1, false, 1), Some(Change::Suspected { failures: 3 }));

    let mut bench = Bench::new();
    for _ in 0..9 {
        assert_eq!(ends(&mut bench, DOUBT), None, "nobody sets it aside");
    }
    assert!(bench.health.is_suspect(&bench.policy));
    assert_eq!((ends(&mut bench, FAILURE), ends(&mut bench, FAILURE)), (None, None));
    assert!(matches!(ends(&mut bench, FAILURE), Some(Change::Ejected { failures: 12, .. })));
    assert!(!bench.health.is_out_in_doubt());
}

/// With `max_ejection_percent` used up by another, an upstream that failed at every tunnel and at every page went on taking both for as long
/// as they came by turns.
#[test]
fn failures_in_doubt_do_not_break_a_row_of_certain_ones() {
    let mut bench = Bench::new();
    for result in [FAILURE, DOUBT, FAILURE, DOUBT] {
        assert_eq!(ends(&mut bench, result), None, "nobody sets it aside");
    }
    assert!(matches!(ends(&mut bench, FAILURE), Some(Change::Ejected { failures: 5, .. })));
    let mut bench = Bench::new();
    for result in [FAILURE, FAILURE, DOUBT, AttemptResult::Success, FAILURE, DOUBT, FAILURE] {
        assert_eq!(ends(&mut bench, result), None, "a success does");
    }
}

/// What a target could have caused never ejects by itself, whatever came before it.
#[test]
fn a_failure_in_doubt_does_not_eject_where_a_reload_has_made_the_certain_ones_enough() {
    let mut bench = Bench::new();
    assert_eq!(ends(&mut bench, FAILURE), None);
    bench.policy.failure_threshold = NonZeroU32::MIN;
    assert_eq!(ends(&mut bench, DOUBT), None);
    assert!(matches!(ends(&mut bench, FAILURE), Some(Change::Ejected { failures: 3, .. })));
}
