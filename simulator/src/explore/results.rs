//! The results of many runs are written to a file, and those of several shards are put together again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::coverage::Reached;
use super::shard::Shard;
use crate::judge::{LawTotals, RunReport, Verdict, Violation};
use crate::world::EngineKind;

/// The version of the format. Another simulator may write another.
pub const VERSION: u32 = 2;

/// Which command wrote results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `simulator run`, whose reports are of all runs.
    Run,
    /// `simulator sweep`, whose reports are of the runs that did not pass.
    Sweep,
}

/// All runs of which a shard plays its part. Shards fit together if theirs are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// How many runs there are over all shards. `None` where the time or a failure may end them earlier.
    pub runs: Option<u64>,
    /// SHA-256 of what is played, as hexadecimal digits.
    pub digest: String,
}

impl Planned {
    /// So many runs of what was digested.
    pub(super) fn new(runs: Option<u64>, digest: Context) -> Self {
        Planned { runs, digest: hexadecimal(digest) }
    }
}

/// Which simulator this is: its version and the digest of its program. Another build may draw and judge otherwise.
pub fn build() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut digest = Context::new(&SHA256);
    match std::env::current_exe().and_then(std::fs::read) {
        Ok(program) => digest.update(&program),
        Err(_) => return version.to_owned(),
    }
    let digits = hexadecimal(digest);
    format!("{version} {}", &digits[..16])
}

fn hexadecimal(digest: Context) -> String {
    digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Results of many runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Of this format.
    pub version: u32,
    /// The simulator that wrote them, as [`build`] tells it.
    pub build: String,
    /// Who wrote them.
    pub source: Source,
    /// Where the runs were played.
    pub engine: EngineKind,
    /// The subject that they were played with.
    pub subject: String,
    /// The seed of a sweep.
    pub seed: Option<u64>,
    /// All runs of which this is a part.
    pub planned: Planned,
    /// Which part of the runs they are of.
    pub shard: Shard,
    /// How many runs there were.
    pub runs: u64,
    /// Reports.
    pub reports: Vec<RunReport>,
    /// What must sometimes come.
    pub sometimes: Vec<Sometimes>,
    /// What was reached, and in how many runs.
    pub reached: Reached,
    /// What the laws have checked in all runs.
    pub laws: LawTotals,
}

/// Something that must come in one of many runs of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sometimes {
    /// The scenario.
    pub scenario: String,
    /// The place of the expectation in it.
    pub index: usize,
    /// What is expected, as it stands there.
    pub expected: String,
    /// Runs that could have shown it.
    pub runs: u64,
    /// Those of them that did.
    pub shown: u64,
}

impl Sometimes {
    /// What to say if none of the runs has shown it.
    pub fn violation(&self) -> Option<Violation> {
        let Sometimes { index, expected, runs, shown, .. } = self;
        (*runs > 0 && *shown == 0).then(|| Violation {
            of: format!("expect[{index}]"),
            text: format!("in none of {runs} runs; expected {expected}"),
            lines: Vec::new(),
        })
    }
}

/// Reads the results in `file`.
///
/// # Errors
/// What is wrong with the file, with its name and the place in it.
pub fn read(file: &Path) -> Result<Results, String> {
    /// Only this is the same in every version.
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let Versioned { version } = parse(file, &text)?;
    if version != VERSION {
        return Err(format!("{}: version: is {version}, but this simulator reads {VERSION}", file.display()));
    }
    let results: Results = parse(file, &text)?;
    let reports = results.reports.len() as u64;
    // A sweep keeps the reports of those that did not pass.
    let fits = if results.source == Source::Run { reports == results.runs } else { reports <= results.runs };
    if !fits {
        return Err(format!("{}: runs: is {}, but there are {reports} reports", file.display(), results.runs));
    }
    Ok(results)
}

fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{}: {error}", file.display()))
}

/// Puts the results of all shards of the same runs together.
///
/// # Errors
/// Everything that does not fit together, each with the file.
pub fn merge(parts: Vec<(PathBuf, Results)>) -> Result<Results, Vec<String>> {
    let Some((first_file, first)) = parts.first() else { return Err(vec!["no results to merge".to_owned()]) };
    let mut problems = Vec::new();
    let mut seen: BTreeMap<u64, &Path> = BTreeMap::new();
    for (file, part) in &parts {
        let mut differs = |field: &str, here: String, there: String| {
            if here != there {
                let (file, first) = (file.display(), first_file.display());
                problems.push(format!("{file}: {field}: is {here}, but {there} in {first}"));
            }
        };
        differs("source", format!("{:?}", part.source), format!("{:?}", first.source));
        differs("build", part.build.clone(), first.build.clone());
        differs("engine", part.engine.to_string(), first.engine.to_string());
        differs("subject", part.subject.clone(), first.subject.clone());
        differs("seed", format!("{:?}", part.seed), format!("{:?}", first.seed));
        differs("shard", format!("one of {}", part.shard.of()), format!("one of {}", first.shard.of()));
        if part.planned != first.planned {
            let (file, first) = (file.display(), first_file.display());
            problems.push(format!("{file}: planned: other scenarios, seeds or limits than in {first}"));
        }
        let share = part.planned.runs.map(|runs| part.shard.share(runs));
        if let Some(share) = share.filter(|share| *share != part.runs) {
            let (file, all) = (file.display(), part.planned.runs.unwrap_or_default());
            problems
                .push(format!("{file}: runs: is {}, but shard {} of {all} runs has {share}", part.runs, part.shard));
        }
        if let Some(other) = seen.insert(part.shard.index(), file) {
            problems.push(format!("{}: shard: {} is also in {}", file.display(), part.shard, other.display()));
        }
    }
    if problems.is_empty() {
        let of = first.shard.of();
        let missing = (1..=of).filter(|index| !seen.contains_key(index));
        problems.extend(missing.map(|index| format!("shard {index}/{of} is missing")));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut whole = Results {
        shard: Shard::WHOLE,
        runs: 0,
        reports: Vec::new(),
        sometimes: Vec::new(),
        reached: Reached::new(),
        laws: LawTotals::default(),
        ..first.clone()
    };
    for (_, part) in parts {
        whole.runs += part.runs;
        whole.reports.extend(part.reports);
        whole.laws.add(part.laws.laws());
        for (item, runs) in part.reached {
            *whole.reached.entry(item).or_default() += runs;
        }
        for one in part.sometimes {
            let same = |other: &&mut Sometimes| (&other.scenario, other.index) == (&one.scenario, one.index);
            match whole.sometimes.iter_mut().find(same) {
                Some(other) => (other.runs, other.shown) = (other.runs + one.runs, other.shown + one.shown),
                None => whole.sometimes.push(one),
            }
        }
    }
    Ok(whole)
}

impl Results {
    /// How the worst of the runs ended, what must sometimes come included.
    pub fn worst(&self) -> Verdict {
        let runs = self.reports.iter().map(|report| report.verdict);
        let sometimes = self.sometimes.iter().filter_map(Sometimes::violation).map(|_| Verdict::Violated);
        // Only a sweep shows what laws say in general: a story may be about what they excuse.
        let laws = (self.source == Source::Sweep).then(|| self.laws.mostly_excused(self.runs)).into_iter().flatten();
        Verdict::worst(runs.chain(sometimes).chain(laws.map(|_| Verdict::Violated)))
    }

    /// Those of the runs that did not pass.
    pub fn failed(&self) -> impl Iterator<Item = &RunReport> {
        self.reports.iter().filter(|report| report.verdict != Verdict::Passed)
    }

    /// The scenarios of the reports.
    pub fn scenarios(&self) -> BTreeSet<&str> {
        self.reports.iter().map(|report| report.scenario.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Excuse, Kind, LawCounts};
    use crate::subject::NETDRIFT;

    fn part(shard: &str) -> (PathBuf, Results) {
        let results = Results {
            version: VERSION,
            build: build(),
            source: Source::Sweep,
            engine: EngineKind::TurmoilNet,
            subject: NETDRIFT.to_owned(),
            seed: Some(7),
            planned: Planned { runs: None, digest: "x".to_owned() },
            shard: shard.parse().unwrap(),
            runs: 10,
            reports: Vec::new(),
            sometimes: vec![Sometimes {
                scenario: "x".to_owned(),
                index: 2,
                expected: "{}".to_owned(),
                runs: 5,
                shown: 0,
            }],
            reached: Reached::from([("event/ejected".to_owned(), 3)]),
            laws: {
                let counts = LawCounts {
                    law: "x".to_owned(),
                    kind: Kind::Told,
                    cases: 10,
                    excused: BTreeMap::from([(Excuse::NoTime, 1)]),
                    found: 0,
                };
                let mut laws = LawTotals::default();
                laws.add(&[counts]);
                laws
            },
        };
        (PathBuf::from(format!("{}.json", shard.replace('/', "of"))), results)
    }

    #[test]
    fn shards_together_are_judged_as_the_whole() {
        let whole = merge(vec![part("2/2"), part("1/2")]).unwrap();
        assert_eq!((whole.runs, whole.shard, whole.reached["event/ejected"]), (20, Shard::WHOLE, 6));
        assert_eq!((whole.laws.laws()[0].cases, whole.laws.mostly_excused(whole.runs).count()), (20, 0));
        assert_eq!(whole.sometimes.len(), 1);
        assert_eq!(whole.worst(), Verdict::Violated, "in none of ten runs");
        let mut shown = part("1/2");
        shown.1.sometimes[0].shown = 1;
        assert_eq!(merge(vec![shown, part("2/2")]).unwrap().worst(), Verdict::Passed);
    }

    #[test]
    fn what_does_not_fit_together_is_named_with_its_file() {
        let said = |parts| merge(parts).unwrap_err().join("\n");
        assert_eq!(said(vec![part("1/3"), part("3/3")]), "shard 2/3 is missing");
        assert_eq!(said(vec![part("1/2"), part("1/2")]), "1of2.json: shard: 1/2 is also in 1of2.json");
        let mut other = part("2/3");
        (other.1.seed, other.1.engine) = (Some(8), EngineKind::Turmoil);
        let said = said(vec![part("1/2"), other]);
        for text in [
            "2of3.json: engine: is turmoil, but turmoil-net in 1of2.json",
            "seed: is Some(8)",
            "one of 3, but one of 2",
        ] {
            assert!(said.contains(text), "{said}");
        }
    }

    #[test]
    fn shards_of_other_runs_or_of_another_build_and_counts_that_are_not_theirs_are_named() {
        let with = |change: &dyn Fn(&mut Results)| {
            let mut other = part("2/2");
            change(&mut other.1);
            merge(vec![part("1/2"), other]).unwrap_err().join("\n")
        };
        assert_eq!(
            with(&|other| other.planned.digest.push('y')),
            "2of2.json: planned: other scenarios, seeds or limits than in 1of2.json"
        );
        let built = with(&|other| other.build = "0.0.1 abc".to_owned());
        assert!(built.starts_with("2of2.json: build: is 0.0.1 abc, but "), "{built}");
        let mut parts = [part("1/2"), part("2/2")];
        for (_, one) in &mut parts {
            one.planned.runs = Some(19);
        }
        assert_eq!(merge(parts.to_vec()).unwrap_err(), ["2of2.json: runs: is 10, but shard 2/2 of 19 runs has 9"]);
    }

    #[test]
    fn a_file_of_another_version_or_cut_short_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.json");
        let text = serde_json::to_string_pretty(&part("1/1").1).unwrap();
        let said = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read(&file).map_err(|error| error.replace(&format!("{}", file.display()), "x.json"))
        };
        assert_eq!(said(&text), Ok(part("1/1").1));
        assert_eq!(
            said(&text.replace("\"version\": 2", "\"version\": 1")).unwrap_err(),
            "x.json: version: is 1, but this simulator reads 2"
        );
        assert!(said(&text[..text.len() / 2]).unwrap_err().contains("at line"));
        assert!(said(&text.replace("\"1/1\"", "\"2/1\"")).unwrap_err().contains("must be like 1/4"));
        assert!(
            said(&text.replace("\"runs\": 10,", "\"runs\": 10, \"rans\": 9,"))
                .unwrap_err()
                .contains("unknown field `rans`")
        );
        let more = text.replace("\"source\": \"sweep\"", "\"source\": \"run\"");
        assert_eq!(said(&more).unwrap_err(), "x.json: runs: is 10, but there are 0 reports");
        assert!(said("[]").unwrap_err().starts_with("x.json: "));
    }
}
