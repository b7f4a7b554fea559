//! `simulator`: runs scenarios.

mod worlds;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use simulator::batch::{Job, judge_sometimes, run_all, shard};
use simulator::cli::{Cli, Command, List, One, Run, Shrink, Sweep, Timeline};
use simulator::engine::Kind;
use simulator::progress::Progress;
use simulator::report;
use simulator::run::{Verdict, run, run_on};
use simulator::scenario::{self, Scenario};
use simulator::sweep::{self, Plan};
use simulator::{shrink, timeline_page};

use worlds::{prepare, sorted};

/// sysexits.h: the command line is wrong; the input is; a file can't be written.
const USAGE: u8 = 64;
const DATA: u8 = 65;
const IO: u8 = 74;

/// Lines of the trace that a replay shows.
const TAIL: usize = 20;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way as well.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let ended = match cli.command {
        Command::Run(args) => run_many(&args),
        Command::Replay(one) => replay(&one),
        Command::Check { paths, engine } => check(&paths, engine),
        Command::List(args) => list(&args),
        Command::Parity(args) => worlds::compare(&args),
        Command::Trace(one) => trace(&one),
        Command::Timeline(args) => timeline(&args),
        Command::Sweep(args) => sweep(&args),
        Command::Shrink(args) => smaller(&args),
        Command::Schema => print(&format!("{:#}\n", scenario::schema().as_value())),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(Failed { code, text }) => {
            eprint!("{text}");
            ExitCode::from(code)
        }
    }
}

/// Why a command could not do its work.
struct Failed {
    code: u8,
    text: String,
}

fn print(text: &str) -> Result<u8, Failed> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Failed { code: IO, text: format!("standard output: {error}\n") }),
        Ok(()) => Ok(0),
    }
}

/// The scenario files at `paths`, directories opened, in order of their names.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failed> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let failed = |error: io::Error| Failed { code: DATA, text: format!("{}: {error}\n", path.display()) };
        let mut inside = Vec::new();
        for entry in path.read_dir().map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_some_and(|extension| extension == "json") {
                inside.push(file);
            }
        }
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

fn load(file: &Path) -> Result<Arc<Scenario>, Failed> {
    load_scaled(file, 1.0)
}

fn load_scaled(file: &Path, scale: f64) -> Result<Arc<Scenario>, Failed> {
    scenario::load_scaled(file, scale).map(Arc::new).map_err(|problems| {
        let lines = problems.iter().map(|problem| format!("{}: {problem}\n", file.display()));
        Failed { code: DATA, text: lines.collect() }
    })
}

/// All scenarios at `paths`, or what is wrong with any of them.
fn all(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Arc<Scenario>)>, Failed> {
    all_scaled(paths, 1.0)
}

fn all_scaled(paths: &[PathBuf], scale: f64) -> Result<Vec<(PathBuf, Arc<Scenario>)>, Failed> {
    let mut scenarios = Vec::new();
    let mut wrong = String::new();
    for file in files(paths)? {
        match load_scaled(&file, scale) {
            Ok(scenario) => scenarios.push((file, scenario)),
            Err(failed) => wrong.push_str(&failed.text),
        }
    }
    if wrong.is_empty() && scenarios.is_empty() {
        wrong.push_str("no scenario there\n");
    }
    if wrong.is_empty() { Ok(scenarios) } else { Err(Failed { code: DATA, text: wrong }) }
}

fn check(paths: &[PathBuf], engine: Kind) -> Result<u8, Failed> {
    let lacks = |(file, scenario): (PathBuf, Arc<Scenario>)| {
        let say = move |what: String| format!("{}: {what}\n", file.display());
        engine.lacks(&scenario).into_iter().map(say).collect::<String>()
    };
    let text: String = all(paths)?.into_iter().map(lacks).collect();
    if text.is_empty() { Ok(0) } else { Err(Failed { code: Verdict::Unsupported.exit_code(), text }) }
}

fn run_many(args: &Run) -> Result<u8, Failed> {
    prepare(args.world.engine, &args.world.means)?;
    let (engine, scale) = (args.world.engine, args.world.means.scale);
    let mut jobs = Vec::new();
    let scenarios = if args.where_possible {
        let (playable, others) = sorted(&args.paths, engine, scale)?;
        print(&others.iter().map(|(name, why)| format!("left out    {name}: {why}\n")).collect::<String>())?;
        playable
    } else {
        all_scaled(&args.paths, scale)?
    };
    for (file, scenario) in scenarios {
        let seeds = match (&args.seeds, args.seed) {
            (Some(seeds), _) => seeds.0.clone(),
            (None, Some(seed)) => seed..seed.saturating_add(1),
            (None, None) => scenario.seed..scenario.seed.saturating_add(1),
        };
        let job = |seed| Job { file: file.clone(), scenario: Arc::clone(&scenario), seed, engine };
        jobs.extend(seeds.map(job));
    }
    if let Some(part) = args.shard {
        jobs = shard(jobs, part.index, part.of);
    }
    let progress = Progress::new(u64::try_from(jobs.len()).ok());
    let mut reports = run_all(&jobs, threads(args.jobs), |job, report| {
        let text = format!("{}\n{}", report::line(report), report::failure(report, &job.file));
        progress.ended(report.verdict != Verdict::Passed, &text);
    });
    drop(progress);
    for (job, text) in judge_sometimes(&jobs, &mut reports) {
        print(&format!("violated    {}: {text}\n", job.scenario.name))?;
    }
    let write = |path: &Option<PathBuf>, text: &dyn Fn() -> String| match path {
        Some(path) => std::fs::write(path, text()).map_err(|error| unwritten(path, &error)),
        None => Ok(()),
    };
    write(&args.json, &|| report::json(&reports))?;
    write(&args.junit, &|| report::junit(&reports))?;
    write(&args.markdown, &|| report::markdown(&reports))?;
    let count = |verdict| reports.iter().filter(|report| report.verdict == verdict).count();
    let (passed, refused) = (count(Verdict::Passed), count(Verdict::Unsupported));
    let failed = reports.len() - passed - refused;
    print(&format!("{} runs, {failed} failed, {refused} refused\n", reports.len()))?;
    Ok(reports.iter().map(|report| report.verdict).min().map_or(0, Verdict::exit_code))
}

fn sweep(args: &Sweep) -> Result<u8, Failed> {
    let plan = Plan { seed: args.seed, runs: args.runs, time: args.time, threads: threads(args.jobs) };
    let progress = Progress::logged(args.runs);
    let mut worst = 0;
    let outcome = sweep::sweep(&plan, |failed| {
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
    print(&format!("{} runs of seed {}, {} failed\n", outcome.runs, args.seed, outcome.failed))?;
    Ok(worst)
}

fn smaller(args: &Shrink) -> Result<u8, Failed> {
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

fn write_scenario(file: &Path, scenario: &Scenario) -> Result<(), Failed> {
    let text = serde_json::to_string_pretty(scenario).expect("a scenario came from JSON") + "\n";
    std::fs::write(file, text).map_err(|error| unwritten(file, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> Failed {
    Failed { code: IO, text: format!("{}: {error}\n", path.display()) }
}

fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |cores| cores.get()))
}

fn replay(one: &One) -> Result<u8, Failed> {
    prepare(one.world.engine, &one.world.means)?;
    let scenario = load_scaled(&one.file, one.world.means.scale)?;
    let report = run_on(one.world.engine, &scenario, one.seed.unwrap_or(scenario.seed));
    let from = report.trace.lines.len().saturating_sub(TAIL);
    let mut text = format!("{}: {}\n", scenario.name, scenario.story);
    for line in &report.trace.lines[from..] {
        text.push_str(&format!("  {}\n", line.to_json()));
    }
    text.push_str(&format!("{}\n{}", report::line(&report), report::failure(&report, &one.file)));
    print(&text)?;
    Ok(report.verdict.exit_code())
}

fn list(args: &List) -> Result<u8, Failed> {
    let Some(engine) = args.engine else {
        let scenarios = all(&args.paths)?.into_iter();
        let lines = scenarios.map(|(_, scenario)| format!("{:<28} {}\n", scenario.name, scenario.story));
        return print(&lines.collect::<String>());
    };
    let (playable, others) = sorted(&args.paths, engine, args.scale)?;
    let can = playable.iter().map(|(_, scenario)| format!("can    {}\n", scenario.name));
    let cannot = others.iter().map(|(name, why)| format!("can't  {name}: {why}\n"));
    print(&can.chain(cannot).collect::<String>())
}

fn trace(one: &One) -> Result<u8, Failed> {
    prepare(one.world.engine, &one.world.means)?;
    let scenario = load_scaled(&one.file, one.world.means.scale)?;
    let report = run_on(one.world.engine, &scenario, one.seed.unwrap_or(scenario.seed));
    let lines: String = report.trace.lines.iter().map(|line| line.to_json() + "\n").collect();
    print(&lines)?;
    eprintln!("digest {}", report.digest);
    Ok(report.verdict.exit_code())
}

fn timeline(args: &Timeline) -> Result<u8, Failed> {
    let Timeline { one, to } = args;
    prepare(one.world.engine, &one.world.means)?;
    let scenario = load_scaled(&one.file, one.world.means.scale)?;
    let report = run_on(one.world.engine, &scenario, one.seed.unwrap_or(scenario.seed));
    let page = timeline_page::page(&scenario, &report, &one.file);
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
