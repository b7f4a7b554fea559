//! `simulator`: runs scenarios.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use simulator::batch::{Job, run_all, shard};
use simulator::cli::{Cli, Command, One, Run, Shrink, Sweep};
use simulator::engine::Kind;
use simulator::report;
use simulator::run::{Verdict, run, run_on};
use simulator::scenario::{self, Scenario};
use simulator::{shrink, swarm};

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
        Command::Check { paths } => all(&paths).map(|_| 0),
        Command::List { paths } => list(&paths),
        Command::Trace(one) => trace(&one),
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
    scenario::load(file).map(Arc::new).map_err(|problems| {
        let lines = problems.iter().map(|problem| format!("{}: {problem}\n", file.display()));
        Failed { code: DATA, text: lines.collect() }
    })
}

/// All scenarios at `paths`, or what is wrong with any of them.
fn all(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Arc<Scenario>)>, Failed> {
    let mut scenarios = Vec::new();
    let mut wrong = String::new();
    for file in files(paths)? {
        match load(&file) {
            Ok(scenario) => scenarios.push((file, scenario)),
            Err(failed) => wrong.push_str(&failed.text),
        }
    }
    if wrong.is_empty() && scenarios.is_empty() {
        wrong.push_str("no scenario there\n");
    }
    if wrong.is_empty() { Ok(scenarios) } else { Err(Failed { code: DATA, text: wrong }) }
}

fn run_many(args: &Run) -> Result<u8, Failed> {
    let mut jobs = Vec::new();
    for (file, scenario) in all(&args.paths)? {
        let seeds = match (&args.seeds, args.seed) {
            (Some(seeds), _) => seeds.0.clone(),
            (None, Some(seed)) => seed..seed.saturating_add(1),
            (None, None) => scenario.seed..scenario.seed.saturating_add(1),
        };
        let job = |seed| Job { file: file.clone(), scenario: Arc::clone(&scenario), seed, engine: args.engine };
        jobs.extend(seeds.map(job));
    }
    if let Some(part) = args.shard {
        jobs = shard(jobs, part.index, part.of);
    }
    let reports = run_all(&jobs, threads(args.jobs), |job, report| {
        let text = format!("{}\n{}", report::line(report), report::failure(report, &job.file));
        // Nobody reads; the files and the exit code still tell.
        let _ = io::stdout().lock().write_all(text.as_bytes());
    });
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

/// Runs in batches, so that time is looked at in between; what follows from the seed does not depend on it.
fn sweep(args: &Sweep) -> Result<u8, Failed> {
    const BATCH: u64 = 64;
    #[expect(clippy::disallowed_methods, reason = "how long a sweep lasts is about real time")]
    let begun = std::time::Instant::now();
    let (mut next, mut failed, mut worst) = (0, 0, 0);
    let most = args.runs.unwrap_or(u64::MAX);
    while next < most && args.time.is_none_or(|limit| begun.elapsed() < limit) {
        let end = most.min(next + BATCH);
        let seeds = (next..end).map(|index| swarm::seed_of(args.seed, index));
        let job = |seed| Job {
            file: args.keep.join(format!("swarm-{seed}.json")),
            scenario: Arc::new(swarm::scenario(seed)),
            seed,
            engine: Kind::default(),
        };
        let jobs: Vec<Job> = seeds.map(job).collect();
        let reports = run_all(&jobs, threads(args.jobs), |job, report| {
            if report.verdict != Verdict::Passed {
                let text = format!("{}\n{}", report::line(report), report::failure(report, &job.file));
                // Nobody reads; the files and the exit code still tell.
                let _ = io::stdout().lock().write_all(text.as_bytes());
            }
        });
        for (job, report) in jobs.iter().zip(&reports).filter(|(_, report)| report.verdict != Verdict::Passed) {
            std::fs::create_dir_all(&args.keep).map_err(|error| unwritten(&args.keep, &error))?;
            write_scenario(&job.file, &job.scenario)?;
            failed += 1;
            worst = worst.max(report.verdict.exit_code());
        }
        next = end;
    }
    print(&format!("{next} runs of seed {}, {failed} failed\n", args.seed))?;
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
    print(&format!("{} runs\n{}\n{}", shrunk.runs, report::line(&report), report::failure(&report, &args.to)))?;
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
    let scenario = load(&one.file)?;
    let report = run_on(one.engine, &scenario, one.seed.unwrap_or(scenario.seed));
    let from = report.trace.lines.len().saturating_sub(TAIL);
    let mut text = format!("{}: {}\n", scenario.name, scenario.story);
    for line in &report.trace.lines[from..] {
        text.push_str(&format!("  {}\n", line.to_json()));
    }
    text.push_str(&format!("{}\n{}", report::line(&report), report::failure(&report, &one.file)));
    print(&text)?;
    Ok(report.verdict.exit_code())
}

fn list(paths: &[PathBuf]) -> Result<u8, Failed> {
    let lines = all(paths)?.into_iter().map(|(_, scenario)| format!("{:<28} {}\n", scenario.name, scenario.story));
    print(&lines.collect::<String>())
}

fn trace(one: &One) -> Result<u8, Failed> {
    let scenario = load(&one.file)?;
    let report = run_on(one.engine, &scenario, one.seed.unwrap_or(scenario.seed));
    let lines: String = report.trace.lines.iter().map(|line| line.to_json() + "\n").collect();
    print(&lines)?;
    eprintln!("digest {}", report.digest);
    Ok(report.verdict.exit_code())
}
