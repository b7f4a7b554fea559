//! Some commands search for failures: the sweep, and the shrinking of a scenario that fails.

use simulator::explore::results::{self, Results, Source};
use simulator::explore::sweep::{SweepPlan, SweepRun};
use simulator::explore::{shrink, sweep};
use simulator::judge::{RunReport, Verdict, run_on};
use simulator::record::Trace;
use simulator::report::{self, Progress};
use simulator::subject::NETDRIFT;
use simulator::world::EngineKind;

use super::arguments::{Shrink, Sweep};
use super::engines::threads;
use super::failure::{Failed, USAGE, unwritten};
use super::files::{load, print, write_scenario};

/// Makes up scenarios, runs them, and writes down those that fail.
pub(crate) fn sweep(args: &Sweep) -> Result<u8, Failed> {
    let Sweep { seed, runs, time, engine, shard, until_failure, .. } = *args;
    if engine == EngineKind::Live {
        let text =
            "--engine live: a sweep is played in virtual time; `run --engine live` plays scenarios on real sockets\n"
                .to_owned();
        return Err(Failed { code: USAGE, text });
    }
    let plan = SweepPlan { seed, runs, time, threads: threads(args.jobs), engine, shard, until_failure };
    let progress = Progress::logged(runs.map(|runs| runs.div_ceil(shard.of())));
    let mut reports = Vec::new();
    let totals = sweep::sweep(&plan, |SweepRun { scenario, report }| {
        if report.verdict == Verdict::Passed {
            progress.ended(false, "");
            return Ok(());
        }
        std::fs::create_dir_all(&args.keep).map_err(|error| unwritten(&args.keep, &error))?;
        let file = args.keep.join(format!("{}.json", scenario.name));
        write_scenario(&file, scenario)?;
        progress.ended(true, &format!("{}\n{}", report::line(report), report::failure(report, &file)));
        reports.push(RunReport { trace: Trace::default(), ..report.clone() });
        Ok(())
    })?;
    drop(progress);
    let mut verdict = Verdict::worst(reports.iter().map(|report| report.verdict));
    print(&report::coverage(&totals.reached, &totals.reached))?;
    print(&report::laws(&totals.laws))?;
    if totals.laws.mostly_excused(totals.runs).next().is_some() {
        // A law that is mostly excused says nothing, so that the sweep has not shown what it is meant to show.
        verdict = verdict.min(Verdict::Violated);
    }
    print(&format!("{} runs of seed {seed}, {} failed\n", totals.runs, totals.failed))?;
    if let Some(file) = &args.json {
        let results = Results {
            version: results::VERSION,
            build: results::build(),
            source: Source::Sweep,
            engine,
            subject: NETDRIFT.to_owned(),
            seed: Some(seed),
            planned: plan.planned(),
            shard,
            runs: totals.runs,
            reports,
            sometimes: Vec::new(),
            reached: totals.reached,
            laws: totals.laws,
        };
        std::fs::write(file, report::json(&results)).map_err(|error| unwritten(file, &error))?;
    }
    Ok(verdict.exit_code())
}

/// Finds the smallest scenario that still fails as a given one does.
pub(crate) fn shrink(args: &Shrink) -> Result<u8, Failed> {
    let scenario = load(&args.file)?;
    let seed = args.seed.unwrap_or(scenario.seed);
    let Some(shrunk) = shrink::shrink(args.engine, &scenario, seed, args.runs) else {
        return print(&format!("{} holds with seed {seed}: nothing to shrink\n", scenario.name));
    };
    write_scenario(&args.to, &shrunk.scenario)?;
    let report = run_on(args.engine, &shrunk.scenario, seed);
    let (line, failure) = (report::line(&report), report::failure(&report, &args.to));
    print(&format!("{} runs, left: {}\n{line}\n{failure}", shrunk.runs, shrink::size(&shrunk.scenario)))?;
    Ok(report.verdict.exit_code())
}
