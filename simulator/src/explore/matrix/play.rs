//! Plays the cells of a matrix, several at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::trial::Trial;
use crate::explore::batch::{Job, run_all};
use crate::subject::{Feature, Subject};
use crate::world::{EngineKind, live};

/// The version of the format of results.
pub const VERSION: u32 = 2;

/// How long every subject has, once the fault is over, until requests succeed again, whatever its own file says: several times the longest
/// back-off of a cell.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(5);

/// The results of a matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    /// Of this format.
    pub version: u32,
    /// The day on which it was played last.
    pub date: String,
    /// The subjects, in the order in which they are shown.
    pub columns: Vec<Column>,
    /// What came of each trial with each subject, as far as it was played.
    pub cells: Vec<Cell>,
}

/// A subject of a matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The subject.
    pub subject: String,
    /// What it is called.
    pub title: String,
    /// What it is, and how it is used.
    pub about: String,
    /// What it says of its version.
    pub version: String,
    /// SHA-256 of its folder, as hexadecimal digits.
    pub digest: String,
    /// What it can't do, by its own file, and why.
    pub lacks: BTreeMap<Feature, String>,
}

impl Column {
    /// The column of `subject`.
    ///
    /// # Errors
    /// It is not installed.
    pub fn of(subject: &Subject) -> std::io::Result<Self> {
        let file = subject.file();
        Ok(Column {
            subject: subject.name().to_owned(),
            title: file.title.clone(),
            about: file.about.clone(),
            version: live::version(subject)?,
            digest: subject.digest().to_owned(),
            lacks: file.lacks.clone(),
        })
    }
}

impl Matrix {
    /// The cell of `trial` with `subject`, if it was played.
    pub fn cell(&self, trial: &str, subject: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.trial == trial && cell.subject == subject)
    }

    /// Puts the cells in the order of the columns and of the trials.
    pub fn sort(&mut self) {
        let place = |trial: &str| Trial::all().position(|one| one.name() == trial);
        let column = |subject: &str| self.columns.iter().position(|column| column.subject == subject);
        self.cells.sort_by_cached_key(|cell| (column(&cell.subject), place(&cell.trial)));
    }

    /// Takes over the cells and columns of `earlier` that this one lacks. Those of one subject belong together, so that a subject of another
    /// version, or that is played in another way, takes nothing over.
    pub fn take_over(&mut self, earlier: Matrix) {
        for cell in earlier.cells {
            let played = |columns: &[Column]| {
                let column = columns.iter().find(|column| column.subject == cell.subject)?;
                Some((column.version.clone(), column.digest.clone()))
            };
            let same = played(&self.columns).is_none_or(|now| played(&earlier.columns) == Some(now));
            if same && self.cell(&cell.trial, &cell.subject).is_none() {
                self.cells.push(cell);
            }
        }
        for column in earlier.columns {
            if !self.columns.iter().any(|own| own.subject == column.subject) {
                self.columns.push(column);
            }
        }
    }
}

/// Plays each of `trials` with `subject` so many `times`, `jobs` runs at once, and returns of each the worst with its share: where a
/// subject finds a fault by checks of its own, what becomes of a request depends on when the last one was. `told` hears of each run as it ends.
pub fn play(
    subject: &Arc<Subject>,
    trials: &[Trial],
    times: usize,
    jobs: usize,
    told: impl Fn(&Cell) + Sync,
) -> Vec<Cell> {
    let subject = &Arc::new(subject.that_comes_back_within(COMES_BACK_WITHIN));
    let cells: Vec<Job> = trials
        .iter()
        .flat_map(|trial| std::iter::repeat_n(trial, times))
        .map(|trial| {
            let scenario = Arc::new(trial.story(subject));
            let seed = scenario.seed;
            // The name of the trial stands for a file, which there is none.
            let file = PathBuf::from(trial.name());
            Job { file, scenario, seed, engine: EngineKind::Live, subject: Arc::clone(subject) }
        })
        .collect();
    let played: Mutex<BTreeMap<String, Vec<Cell>>> = Mutex::default();
    run_all(&cells, jobs, |job, report| {
        let cell = Cell::of(&job.file.to_string_lossy(), report);
        told(&cell);
        let mut played = played.lock().unwrap_or_else(PoisonError::into_inner);
        played.entry(cell.trial.clone()).or_default().push(cell);
    });
    played.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().filter_map(Cell::worst).collect()
}

/// Reads the results in `file`.
///
/// # Errors
/// What is wrong with the file, with its name and the place in it.
pub fn read(file: &Path) -> Result<Matrix, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| said(&error))?;
    let matrix: Matrix = serde_json::from_str(&text).map_err(|error| said(&error))?;
    if matrix.version == VERSION {
        Ok(matrix)
    } else {
        Err(said(&format!("version: is {}, but this simulator reads {VERSION}", matrix.version)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::Share;
    use super::*;
    use crate::judge::Verdict;

    /// What is behind the colon of `version` is the digest.
    fn matrix(subject: &str, version: &str, trials: &[&str]) -> Matrix {
        let (version, digest) = version.split_once(':').unwrap_or((version, ""));
        let cell = |trial: &&str| Cell {
            trial: (*trial).to_owned(),
            subject: subject.to_owned(),
            verdict: Verdict::Passed,
            broken: BTreeMap::new(),
            tunnels: Default::default(),
            plain: Default::default(),
            counted: BTreeMap::new(),
            said: vec![version.to_owned()],
            share: Share::default(),
        };
        let column = Column {
            subject: subject.to_owned(),
            title: String::new(),
            about: String::new(),
            version: version.to_owned(),
            digest: digest.to_owned(),
            lacks: BTreeMap::new(),
        };
        Matrix {
            version: VERSION,
            date: String::new(),
            columns: vec![column],
            cells: trials.iter().map(cell).collect(),
        }
    }

    #[test]
    fn earlier_cells_of_the_same_version_are_taken_over() {
        let mut now = matrix("x", "1", &["a"]);
        now.take_over(matrix("x", "1", &["a", "b"]));
        now.take_over(matrix("y", "2", &["a"]));
        now.take_over(matrix("x", "0", &["c"]));
        now.take_over(matrix("x", "1:another", &["c"]));
        assert_eq!(now.columns.len(), 2);
        assert!(now.cell("b", "x").is_some() && now.cell("a", "y").is_some() && now.cell("c", "x").is_none());
        assert_eq!(now.cells.len(), 3);
    }

    #[test]
    fn results_are_read_as_they_were_written_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.json");
        let written = matrix("x", "1", &["a"]);
        std::fs::write(&file, serde_json::to_string(&written).unwrap()).unwrap();
        assert_eq!(read(&file).unwrap(), written);
        std::fs::write(&file, serde_json::to_string(&Matrix { version: 0, ..written }).unwrap()).unwrap();
        assert!(read(&file).unwrap_err().ends_with("m.json: version: is 0, but this simulator reads 2"));
    }
}
