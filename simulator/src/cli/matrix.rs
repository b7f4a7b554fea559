//! A command plays every fault against every proxy and writes what came of it.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use simulator::explore::matrix::{self, Column, Trial, VERSION};
use simulator::report::{self, Progress};
use simulator::subject::{self, Subject};
use simulator::world::EngineKind;

use super::arguments::Matrix;
use super::engines;
use super::failure::{DATA, Failed, USAGE, unwritten};
use super::files::print;

/// Plays the matrix, writes its results, and holds them against earlier ones.
pub(crate) fn matrix(args: &Matrix) -> Result<u8, Failed> {
    let before = args.against.as_deref().map(read).transpose()?;
    let whole = match &args.from {
        Some(file) => read(file)?,
        None => play(args)?,
    };
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&whole).expect("plain strings and numbers always serialise") + "\n";
        std::fs::write(file, text).map_err(|error| unwritten(file, &error))?;
    }
    if let Some(file) = &args.page {
        std::fs::write(file, report::matrix_page(&whole)).map_err(|error| unwritten(file, &error))?;
    }
    let worse = before.map(|before| matrix::worse(&whole, &before)).unwrap_or_default();
    for one in &worse {
        print(&format!("worse: {}: {}\n", one.trial, one.text))?;
    }
    Ok(u8::from(!worse.is_empty()))
}

fn read(file: impl AsRef<Path>) -> Result<matrix::Matrix, Failed> {
    matrix::read(file.as_ref()).map_err(wrong)
}

fn wrong(text: String) -> Failed {
    Failed { code: DATA, text: format!("{text}\n") }
}

/// Plays all cells that were asked for and that earlier results lack.
fn play(args: &Matrix) -> Result<matrix::Matrix, Failed> {
    let earlier = args.resume.as_ref().map(read).transpose()?;
    let trials = trials(&args.faults, &args.features)?;
    let subjects = subjects(&args.subjects, args.proxy.as_deref())?;
    let columns = subjects.iter().map(|subject| Column::of(subject)).collect::<Result<Vec<_>, _>>();
    let columns = columns.map_err(|error| wrong(error.to_string()))?;
    let mut whole = matrix::Matrix { version: VERSION, date: today(), columns, cells: Vec::new() };
    if let Some(earlier) = earlier {
        whole.take_over(earlier);
    }
    let due = |subject: &Subject| {
        trials.iter().filter(|trial| whole.cell(trial.name(), subject.name()).is_none()).copied().collect()
    };
    let due: Vec<(&Arc<Subject>, Vec<Trial>)> = subjects.iter().map(|subject| (subject, due(subject))).collect();
    let progress = Progress::new(Some(due.iter().map(|(_, trials)| (trials.len() * args.times) as u64).sum()));
    let told = |cell: &matrix::Cell| {
        progress.ended(false, "");
        // If nobody reads this, the files and the exit code still tell.
        let _ = print(&format!("{:<12} {:<24} {}\n", cell.subject, cell.trial, report::matrix_cell(Some(cell))));
    };
    for (subject, trials) in due {
        whole.cells.extend(matrix::play(subject, &trials, args.times, args.jobs, told));
    }
    drop(progress);
    whole.sort();
    Ok(whole)
}

/// The faults and the features that are named; all of both if none is.
fn trials(faults: &[String], features: &[String]) -> Result<Vec<Trial>, Failed> {
    if faults.is_empty() && features.is_empty() {
        return Ok(Trial::all().collect());
    }
    let faults = faults.iter().map(|name| {
        named(Trial::faults(), name)
            .ok_or_else(|| format!("--faults: no fault {name}; `faulty-upstream catalogue` lists them"))
    });
    let features = features.iter().map(|name| {
        named(Trial::features(), name).ok_or_else(|| {
            let all: Vec<&str> = Trial::features().map(|trial| trial.name()).collect();
            format!("--features: no run shows {name}; there are {}", all.join(", "))
        })
    });
    let named: Result<Vec<Trial>, String> = faults.chain(features).collect();
    named.map_err(|text| Failed { code: USAGE, text: text + "\n" })
}

fn named(mut all: impl Iterator<Item = Trial>, name: &str) -> Option<Trial> {
    all.find(|trial| trial.name() == name)
}

/// The subjects called `names`, which have to be installed; if there are no names, all shipped ones that are.
fn subjects(names: &[String], proxy: Option<&Path>) -> Result<Vec<Arc<Subject>>, Failed> {
    let prepare = |subject: &Subject| engines::prepare_with(EngineKind::Live, subject, proxy);
    if names.is_empty() {
        let mut all = subject::shipped().map_err(wrong)?;
        all.retain(|subject| match prepare(subject) {
            Ok(()) => true,
            Err(failed) => {
                eprint!("left out: {}", failed.text);
                false
            }
        });
        return Ok(all);
    }
    let installed = |subject: Arc<Subject>| prepare(&subject).map(|()| subject);
    names.iter().map(|name| engines::subject(name).and_then(installed)).collect()
}

/// The day, as `2026-01-31`.
#[expect(clippy::disallowed_methods, reason = "the page names the day on which it was made")]
fn today() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}
