//! Commands read scenario files and write scenarios, reports and standard output.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use simulator::report;
use simulator::scenario::{self, Scenario};

use super::failure::{DATA, Failed, IO, unwritten};

/// Prints `text`; the exit code is 0 also where nobody reads it.
pub(crate) fn print(text: &str) -> Result<u8, Failed> {
    // Files that others have written may hold what a terminal obeys.
    let text = report::printable(text);
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Failed { code: IO, text: format!("standard output: {error}\n") }),
        Ok(()) => Ok(0),
    }
}

/// The scenario files at `paths`, directories opened, in order of their names.
pub(crate) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failed> {
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

/// The scenario in `file`.
pub(crate) fn load(file: &Path) -> Result<Arc<Scenario>, Failed> {
    load_scaled(file, 1.0)
}

/// The scenario in `file`, with every length of time multiplied by `scale`.
pub(crate) fn load_scaled(file: &Path, scale: f64) -> Result<Arc<Scenario>, Failed> {
    let scenario = scenario::load_scaled(file, scale).map(Arc::new);
    scenario.map_err(|problems| Failed { code: DATA, text: format!("{problems}\n") })
}

/// All scenarios at `paths`, or what is wrong with any of them.
pub(crate) fn all(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Arc<Scenario>)>, Failed> {
    all_scaled(paths, 1.0)
}

/// The same with every length of time multiplied by `scale`.
pub(crate) fn all_scaled(paths: &[PathBuf], scale: f64) -> Result<Vec<(PathBuf, Arc<Scenario>)>, Failed> {
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

/// Writes `scenario` to `file`.
pub(crate) fn write_scenario(file: &Path, scenario: &Scenario) -> Result<(), Failed> {
    let text = serde_json::to_string_pretty(scenario).expect("a scenario came from JSON") + "\n";
    std::fs::write(file, text).map_err(|error| unwritten(file, &error))
}
