//! Plays made-up scenarios as a test, so that `scripts/mutants.sh --sweep` can ask a sweep alone whether it notices a change.

use std::env;

use simulator::explore::shard::Shard;
use simulator::explore::sweep::{SweepPlan, sweep};
use simulator::judge::Verdict;
use simulator::world::EngineKind;

/// How many scenarios are played, if `NETDRIFT_SWEEP_RUNS` does not say so. The gate's own sweeps play more.
const RUNS: u64 = 4;

#[test]
fn made_up_scenarios_hold() {
    let runs = env::var("NETDRIFT_SWEEP_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let plan = SweepPlan {
        seed: 1,
        runs: Some(runs),
        time: None,
        threads: 2,
        engine: EngineKind::default(),
        shard: Shard::WHOLE,
        until_failure: true,
    };
    let totals = sweep(&plan, |run| match run.report.verdict {
        Verdict::Passed => Ok(()),
        _ => Err(format!("{}: {:#?}", run.scenario.name, run.report.violations)),
    });
    assert_eq!(totals.unwrap_or_else(|failed| panic!("{failed}")).runs, runs);
}
