//! Some commands play scenarios: many of them, or a single one that is shown.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use simulator::explore::base::SinceBase;
use simulator::explore::batch::{Job, judge_sometimes, planned, run_all, sometimes};
use simulator::explore::coverage::{self, Reached};
use simulator::explore::results::{self, Results, Source};
use simulator::explore::shard::Shard;
use simulator::explore::{TraceDiff, law_differences};
use simulator::judge::{LawTotals, Verdict, run_subject};
use simulator::report::{self, Progress, timeline_page};
use simulator::scenario::Scenario;
use simulator::subject::Subject;

use super::arguments::{OneRun, Run, Timeline};
use super::engines::{prepare, sorted, threads};
use super::failure::{DATA, Failed, unwritten};
use super::files::{all_scaled, load_scaled, print};
use super::pipeline;

/// Lines of the trace that a replay shows.
const TAIL: usize = 20;

/// Runs scenarios and writes the reports that were asked for.
pub(crate) fn run_many(args: &Run) -> Result<u8, Failed> {
    let subject = prepare(&args.engine)?;
    let engine = args.engine.engine;
    let base = args.base.as_ref().map(|file| pipeline::read_base(file, engine, &subject)).transpose()?;
    let scenarios = match (scenarios(args, &subject), args.annotations) {
        (Err(failed), Some(how)) => {
            pipeline::annotate_wrong(how, args)?;
            return Err(failed);
        }
        (scenarios, _) => scenarios?,
    };
    let mut jobs = Vec::new();
    for (file, scenario) in scenarios {
        let seeds = match (&args.seeds, args.seed) {
            (Some(seeds), _) => seeds.0.clone(),
            (None, Some(seed)) => seed..=seed,
            (None, None) => scenario.seed..=scenario.seed,
        };
        let job = |seed| Job {
            file: file.clone(),
            scenario: Arc::clone(&scenario),
            seed,
            engine,
            subject: Arc::clone(&subject),
        };
        jobs.extend(seeds.map(job));
    }
    let planned = planned(&jobs);
    let jobs = args.shard.pick(jobs);
    let progress = Progress::new(u64::try_from(jobs.len()).ok());
    let reached = Mutex::new(Reached::new());
    let undrawn = Mutex::new(None);
    let mut reports = run_all(&jobs, threads(args.jobs), |job, report| {
        let mut text = format!("{}\n{}", report::line(report), report::failure(report, &job.file));
        // How true a recorded day replays differs little from seed to seed.
        let is_day = job.scenario.seen.is_some();
        if is_day && jobs.iter().find(|one| one.file == job.file).is_some_and(|first| first.seed == job.seed) {
            text.push_str(&report::printable(&report::fidelity_of(&job.scenario, report)));
        }
        progress.ended(report.verdict != Verdict::Passed, &text);
        if let Some(Err(failed)) = args.timelines.as_ref().map(|folder| pipeline::draw(folder, job, report)) {
            *undrawn.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
        }
        if args.json.is_some() {
            let mut reached = reached.lock().unwrap_or_else(PoisonError::into_inner);
            for item in coverage::reached(&job.scenario, &report.trace) {
                *reached.entry(item).or_default() += 1;
            }
        }
    });
    drop(progress);
    if let Some(failed) = undrawn.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failed);
    }
    let sometimes = sometimes(&jobs, &reports);
    if args.shard == Shard::WHOLE {
        // One part alone can't tell what must come in one of all runs: `merge` does.
        for (one, violation) in sometimes.iter().filter_map(|one| Some((one, one.violation()?))) {
            print(&format!("violated    {}: {}\n", one.scenario, violation.text))?;
        }
        judge_sometimes(&sometimes, &mut reports);
    }
    if let Some(how) = args.annotations {
        pipeline::annotate(how, &jobs, &reports)?;
    }
    let since = base.as_ref().map(|base| SinceBase::of(&reports, base));
    since.as_ref().map_or(Ok(()), pipeline::tell_since)?;
    let write = |path: &Option<PathBuf>, text: &dyn Fn() -> String| match path {
        Some(path) => std::fs::write(path, text()).map_err(|error| unwritten(path, &error)),
        None => Ok(()),
    };
    write(&args.junit, &|| report::junit(&reports))?;
    write(&args.markdown, &|| report::markdown(&reports, since.as_ref()))?;
    let count = |verdict| reports.iter().filter(|report| report.verdict == verdict).count();
    let (passed, refused) = (count(Verdict::Passed), count(Verdict::Unsupported));
    let failed = reports.len() - passed - refused;
    print(&format!("{} runs, {failed} failed, {refused} refused\n", reports.len()))?;
    let verdict = Verdict::worst(reports.iter().map(|report| report.verdict));
    if args.json.is_some() {
        let mut laws = LawTotals::default();
        reports.iter().for_each(|report| laws.add(&report.laws));
        let results = Results {
            version: results::VERSION,
            build: results::build(),
            source: Source::Run,
            engine,
            subject: subject.name().to_owned(),
            seed: None,
            planned,
            shard: args.shard,
            runs: reports.len() as u64,
            reports,
            sometimes,
            reached: reached.into_inner().unwrap_or_else(PoisonError::into_inner),
            laws,
        };
        write(&args.json, &|| report::json(&results))?;
    }
    Ok(verdict.exit_code())
}

/// What is to be played.
fn scenarios(args: &Run, subject: &Subject) -> Result<Vec<(PathBuf, Arc<Scenario>)>, Failed> {
    let scale = args.engine.play.scale;
    if !args.where_possible {
        return all_scaled(&args.paths, scale);
    }
    let (playable, others) = sorted(&args.paths, args.engine.engine, subject, scale)?;
    print(&others.iter().map(|(name, why)| format!("left out    {name}: {why}\n")).collect::<String>())?;
    Ok(playable)
}

/// Runs one scenario and shows the end of its trace.
pub(crate) fn replay(one: &OneRun) -> Result<u8, Failed> {
    let subject = prepare(&one.engine)?;
    let scenario = load_scaled(&one.file, one.engine.play.scale)?;
    let report = run_subject(one.engine.engine, &subject, &scenario, one.seed.unwrap_or(scenario.seed));
    let from = report.trace.lines.len().saturating_sub(TAIL);
    let mut text = format!("{}: {}\n", scenario.name, scenario.story);
    for line in &report.trace.lines[from..] {
        text.push_str(&format!("  {}\n", line.to_json()));
    }
    text.push_str(&format!("{}\n{}", report::line(&report), report::failure(&report, &one.file)));
    text.push_str(&report::fidelity_of(&scenario, &report));
    print(&text)?;
    Ok(report.verdict.exit_code())
}

/// Runs one scenario and prints its trace.
pub(crate) fn trace(one: &OneRun) -> Result<u8, Failed> {
    let subject = prepare(&one.engine)?;
    let scenario = load_scaled(&one.file, one.engine.play.scale)?;
    let report = run_subject(one.engine.engine, &subject, &scenario, one.seed.unwrap_or(scenario.seed));
    let lines: String = report.trace.lines.iter().map(|line| line.to_json() + "\n").collect();
    print(&lines)?;
    eprintln!("digest {}", report.digest);
    Ok(report.verdict.exit_code())
}

/// Prints how two traces differ, and what the laws say of them; the exit code is 1 where either differs.
pub(crate) fn diff(one: &Path, other: &Path, results: Option<&[PathBuf]>) -> Result<u8, Failed> {
    let wrong = |text: String| Failed { code: DATA, text: format!("{text}\n") };
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| wrong(format!("{}: {error}", path.display())));
    let diff = TraceDiff::of(&read(one)?, &read(other)?).map_err(wrong)?;
    print(&diff.to_string())?;
    let mut differs = !diff.is_empty();
    if let Some([one, other]) = results {
        let sentences = law_differences(&read(one)?, &read(other)?).map_err(wrong)?;
        differs |= !sentences.is_empty();
        sentences.iter().try_for_each(|sentence| print(&format!("{sentence}\n")).map(drop))?;
        if sentences.is_empty() {
            print("every law found, counted and excused what it did before\n")?;
        }
    }
    Ok(u8::from(differs))
}

/// Runs one scenario and draws it.
pub(crate) fn timeline(args: &Timeline) -> Result<u8, Failed> {
    let Timeline { one, to } = args;
    let subject = prepare(&one.engine)?;
    let scenario = load_scaled(&one.file, one.engine.play.scale)?;
    let report = run_subject(one.engine.engine, &subject, &scenario, one.seed.unwrap_or(scenario.seed));
    let page = timeline_page(&scenario, &report, &one.file);
    match to {
        Some(file) => {
            std::fs::write(file, page).map_err(|error| unwritten(file, &error))?;
            print(&format!("{}\n", report::line(&report)))?;
        }
        None => {
            print(&page)?;
        }
    }
    Ok(report.verdict.exit_code())
}
