//! Some commands search for failures: the sweep, and the shrinking of a scenario that fails.

use simulator::explore::{shrink, sweep};
use simulator::judge::{Verdict, run};
use simulator::report::{self, Progress};

use super::arguments::{Shrink, Sweep};
use super::engines::threads;
use super::failure::{Failed, unwritten};
use super::files::{load, print, write_scenario};

/// Makes up scenarios, runs them, and writes down those that fail.
pub(crate) fn sweep(args: &Sweep) -> Result<u8, Failed> {
    let plan = sweep::SweepPlan { seed: args.seed, runs: args.runs, time: args.time, threads: threads(args.jobs) };
    let progress = Progress::logged(args.runs);
    let mut worst = 0;
    let totals = sweep::sweep(&plan, |failed| {
        let Some((scenario, report)) = failed else {
            progress.ended(false, "");
            return Ok(());
        };
        std::fs::create_dir_all(&args.keep).map_err(|error| unwritten(&args.keep, &error))?;
        let file = args.keep.join(format!("{}.json", scenario.name));
        write_scenario(&file, scenario)?;
        worst = worst.max(report.verdict.exit_code());
        progress.ended(true, &format!("{}\n{}", report::line(report), report::failure(report, &file)));
        Ok(())
    })?;
    drop(progress);
    print(&report::laws(&totals.laws))?;
    // A law that is mostly excused says nothing, so that the sweep has not shown what it is meant to show.
    for law in totals.laws.mostly_excused() {
        worst = worst.max(Verdict::Violated.exit_code());
        print(&format!("{} excused {:.1} % of its cases\n", law.law, law.excused_share() * 100.0))?;
    }
    print(&format!("{} runs of seed {}, {} failed\n", totals.runs, args.seed, totals.failed))?;
    Ok(worst)
}

/// Finds the smallest scenario that still fails as a given one does.
pub(crate) fn shrink(args: &Shrink) -> Result<u8, Failed> {
    let scenario = load(&args.file)?;
    let seed = args.seed.unwrap_or(scenario.seed);
    let Some(shrunk) = shrink::shrink(&scenario, seed, args.runs) else {
        return print(&format!("{} holds with seed {seed}: nothing to shrink\n", scenario.name));
    };
    write_scenario(&args.to, &shrunk.scenario)?;
    let report = run(&shrunk.scenario, seed);
    let (line, failure) = (report::line(&report), report::failure(&report, &args.to));
    print(&format!("{} runs, left: {}\n{line}\n{failure}", shrunk.runs, shrink::size(&shrunk.scenario)))?;
    Ok(report.verdict.exit_code())
}
