//! Some commands are about incidents: a recorded day, and its replay.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use simulator::incident::{self, Candidate, First, Key, Recording};
use simulator::judge::{Verdict, run_subject};
use simulator::report::{self, Progress};
use simulator::subject::Subject;
use simulator::world::EngineKind;

use super::arguments::{EngineArgs, Fidelity, New, Record, WhatIf};
use super::engines::{prepare, prepare_with, sorted, threads};
use super::failure::{DATA, Failed, unwritten};
use super::files::{all_scaled, load, print};

fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    std::fs::read(path).map_err(|error| wrong(path, &error.to_string()))
}

fn wrong(path: &Path, text: &str) -> Failed {
    Failed { code: DATA, text: format!("{}: {text}\n", path.display()) }
}

/// Writes a file that was not there: a name mistyped must not cost anybody a log.
fn write_new(path: &Path, text: &str) -> Result<(), Failed> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| unwritten(path, &error))
}

/// The key in `file`, or one that nobody knows.
fn key(file: Option<&Path>) -> Result<Key, Failed> {
    match file {
        Some(path) => Key::new(&read(path)?).map_err(|text| wrong(path, &text)),
        None => Key::random().map_err(|text| Failed { code: DATA, text: format!("{text}\n") }),
    }
}

/// Makes a scenario of logs, and says what had to be guessed.
pub(crate) fn record(args: &Record) -> Result<u8, Failed> {
    let (config, key) = (read(&args.config)?, key(args.key_file.as_deref())?);
    let shown = io::stderr().is_terminal();
    let watch = |lines| {
        if shown {
            // Where nobody looks, nothing is lost.
            let _ = write!(io::stderr(), "\r{lines} lines");
        }
    };
    let recorded = incident::record(&args.logs, &config, &key, args.most, watch);
    if shown {
        let _ = write!(io::stderr(), "\r\u{1b}[K");
    }
    let Recording { scenario, text, logs } =
        recorded.map_err(|text| Failed { code: DATA, text: format!("{text}\n") })?;
    write_new(&args.out, &text)?;
    let seen = scenario.seen.unwrap_or_default();
    let mut told = String::new();
    for (number, path) in (1..).zip(&logs) {
        told.push_str(&format!("log {number} is {}\n", path.display()));
    }
    seen.guessed.iter().for_each(|one| told.push_str(&format!("{one}\n")));
    eprint!("{told}");
    print(&format!(
        "{}: {} requests in {}, {} failed, {} failed over, {} ejections and recoveries; {} clients\n",
        args.out.display(),
        seen.requests,
        scenario.duration,
        seen.failed,
        seen.failovers,
        seen.turns.len(),
        scenario.clients.len()
    ))
}

/// Writes a first scenario, and says how to play it.
pub(crate) fn new(args: &New) -> Result<u8, Failed> {
    let First { scenario, text, left_out } =
        incident::first(&read(&args.config)?, &args.name).map_err(|text| wrong(&args.config, &text))?;
    let out = args.out.clone().unwrap_or_else(|| format!("{}.json", args.name).into());
    write_new(&out, &text)?;
    left_out.iter().for_each(|one| eprintln!("left out: {one}"));
    print(&format!("{0}: {1}\nplay it: simulator run {0}\n", out.display(), scenario.story))
}

/// Replays recorded days and prints what differs; the exit code is 1 where something does.
pub(crate) fn fidelity(args: &Fidelity) -> Result<u8, Failed> {
    if args.live {
        return of_live_logs(args);
    }
    let subject = prepare(&args.engine)?;
    let mut code = 0;
    for (file, scenario) in all_scaled(&args.paths, args.engine.play.scale)? {
        let Some(seen) = &scenario.seen else {
            return Err(wrong(&file, "it does not say what was seen on its day: make it by `simulator record`"));
        };
        let run = run_subject(args.engine.engine, &subject, &scenario, args.seed.unwrap_or(scenario.seed));
        let fidelity = incident::Fidelity::of(seen, &run.trace);
        if args.json {
            print(&report::fidelity_json(&scenario.name, &fidelity))?;
        } else {
            print(&format!("{}\n{}", report::line(&run), report::fidelity(&fidelity, seen)))?;
        }
        code = code.max(u8::from(fidelity.differs()));
    }
    Ok(code)
}

/// Plays scenarios on real sockets, records the proxy's logs of them and replays these; the exit code is 1 where a replay differs and its
/// scenario does not say why.
fn of_live_logs(args: &Fidelity) -> Result<u8, Failed> {
    let EngineArgs { play, .. } = &args.engine;
    let subject = Subject::netdrift();
    prepare_with(EngineKind::Live, &subject, play.proxy.as_deref())?;
    let (playable, others) = sorted(&args.paths, EngineKind::Live, &subject, play.scale)?;
    // Among reports in JSON nothing but these is printed.
    let say = |text: &str| {
        if !args.json {
            return print(text);
        }
        eprint!("{text}");
        Ok(0)
    };
    for (name, why) in &others {
        say(&format!("left out    {name}: {why}\n"))?;
    }
    if playable.is_empty() {
        let text = "none of these scenarios can be played on real sockets: nothing was compared\n".to_owned();
        return Err(Failed { code: Verdict::Unsupported.exit_code(), text });
    }
    if let Some(folder) = &args.keep {
        std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
    }
    let progress = Progress::logged(u64::try_from(playable.len()).ok());
    let (next, unlike) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads(args.jobs).clamp(1, playable.len()) {
            scope.spawn(|| {
                while let Some((_, scenario)) = playable.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = incident::of_live_log(scenario, args.keep.as_deref());
                    let (text, failed) = report::live_fidelity(scenario, &found, args.json);
                    unlike.fetch_add(usize::from(failed), Ordering::Relaxed);
                    progress.ended(failed, &report::printable(&text));
                }
            });
        }
    });
    drop(progress);
    let (all, unlike) = (playable.len(), unlike.into_inner());
    say(&format!(
        "{all} logs of runs on real sockets replayed, {unlike} differ without a reason ({}, and {:?} for this machine)\n",
        incident::Fidelity::bounds(),
        EngineKind::Live.tolerance()
    ))?;
    Ok(u8::from(unlike > 0))
}

/// Plays a day under other settings and prints the figures side by side; the exit code is 1 where a bound does not hold.
pub(crate) fn what_if(args: &WhatIf) -> Result<u8, Failed> {
    let day = load(&args.file)?;
    let key = args.key_file.as_deref().map(|path| key(Some(path))).transpose()?;
    let mut candidates = Vec::new();
    for path in &args.configs {
        let Candidate { scenario, notes } =
            Candidate::new(&day, &read(path)?, key.as_ref()).map_err(|text| wrong(path, &text))?;
        notes.iter().for_each(|note| eprintln!("{}: {note}", path.display()));
        candidates.push((path.display().to_string(), scenario));
    }
    let seeds = args.seeds.0.clone();
    let runs = seeds.clone().count() * (candidates.len() + 1);
    let progress = Progress::new(u64::try_from(runs).ok());
    let found = incident::what_if(&day, &candidates, seeds, threads(args.jobs), |_| progress.ended(false, ""));
    drop(progress);
    print(&if args.json { report::what_if_json(&found) } else { report::what_if(&found) })?;
    if let Some(path) = &args.html {
        let page = report::what_if_page(&day, &found);
        std::fs::write(path, page).map_err(|error| unwritten(path, &error))?;
    }
    let mut code = 0;
    for (place, name) in found.candidates.iter().enumerate() {
        for broken in args.bounds.iter().filter_map(|bound| bound.broken(&found.figures, place)) {
            eprintln!("{name}: {broken}");
            code = 1;
        }
    }
    Ok(code)
}
