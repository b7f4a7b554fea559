//! The results of the same runs on two builds are held against each other in the words of the laws: which held and does not, which had
//! other cases or excused others.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::judge::LAWS;

/// Violations that are told of each run.
const TOLD: usize = 3;

/// What is read of results. Another version may have written them, so that nothing but this is asked for.
#[derive(Deserialize)]
struct Told {
    reports: Vec<Report>,
}

#[derive(Deserialize)]
struct Report {
    scenario: String,
    seed: u64,
    verdict: String,
    #[serde(default)]
    violations: Vec<Violation>,
    #[serde(default)]
    laws: Vec<Counts>,
}

#[derive(Deserialize)]
struct Violation {
    of: String,
    text: String,
}

#[derive(Deserialize)]
struct Counts {
    law: String,
    cases: u64,
    #[serde(default)]
    excused: BTreeMap<String, u64>,
}

/// How the runs in `one` differ from those in `other`, both as `simulator run --json` writes them, a sentence each.
///
/// # Errors
/// One of them is no file of results.
pub fn law_differences(one: &str, other: &str) -> Result<Vec<String>, String> {
    let read = |text: &str, which: &str| {
        serde_json::from_str::<Told>(text).map_err(|error| format!("the {which} results: {error}"))
    };
    let (one, other) = (read(one, "first")?, read(other, "second")?);
    let mut sentences = Vec::new();
    for was in &one.reports {
        let same = |is: &&Report| is.scenario == was.scenario && is.seed == was.seed;
        match other.reports.iter().find(same) {
            Some(is) => of_run(was, is, &mut sentences),
            None => sentences.push(format!("{} seed {}: it was not played again", shown(&was.scenario), was.seed)),
        }
    }
    if sentences.is_empty() {
        sentences.push("every law found, counted and excused what it did before".to_owned());
    }
    Ok(sentences)
}

fn of_run(was: &Report, is: &Report, sentences: &mut Vec<String>) {
    let name = format!("{} seed {}", shown(&was.scenario), was.seed);
    if was.verdict != is.verdict {
        sentences.push(format!("{name}: {} → {}", shown(&was.verdict), shown(&is.verdict)));
    }
    for (these, those, word) in [(was, is, "holds now"), (is, was, "does not hold any more")] {
        let others: BTreeSet<&str> = those.violations.iter().map(|one| one.of.as_str()).collect();
        for one in these.violations.iter().filter(|one| !others.contains(one.of.as_str())).take(TOLD) {
            sentences.push(format!("{name}: {} {word}: {}", law(&one.of), shown(&one.text)));
        }
    }
    for now in &is.laws {
        let Some(before) = was.laws.iter().find(|before| before.law == now.law) else { continue };
        if before.cases != now.cases || before.excused != now.excused {
            sentences.push(format!("{name}: {}: {} → {}", law(&now.law), counts(before), counts(now)));
        }
    }
}

/// The law's name and what it says.
fn law(name: &str) -> String {
    match LAWS.iter().find(|law| law.name == name) {
        Some(law) => format!("{name} ({})", law.text.trim_end_matches('.')),
        None => shown(name),
    }
}

fn counts(law: &Counts) -> String {
    let excused: Vec<String> = law.excused.iter().map(|(why, count)| format!("{count} by {}", shown(why))).collect();
    let excused = if excused.is_empty() { String::new() } else { format!(", excused {}", excused.join(" and ")) };
    format!("{} cases{excused}", law.cases)
}

/// Such files come from others: nothing of them gives a terminal or a pipeline an order.
fn shown(text: &str) -> String {
    // Quotes are none, and expectations are full of them.
    text.escape_debug().to_string().replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(verdict: &str, violations: &str, cases: u64, excused: &str) -> String {
        format!(
            r#"{{"version": 9, "reports": [{{"scenario": "x", "seed": 1, "verdict": "{verdict}", "violations": [{violations}],
            "laws": [{{"law": "answered", "kind": "black_box", "cases": {cases}, "excused": {excused}, "found": 0}}]}}]}}"#
        )
    }

    #[test]
    fn what_laws_say_of_two_builds_is_told_in_their_words() {
        let sound = results("passed", "", 40, "{}");
        let told = law_differences(&sound, &sound).unwrap();
        assert_eq!(told, ["every law found, counted and excused what it did before"]);
        let broken = results(
            "violated",
            r#"{"of": "answered", "text": "c-1 got \u001b502", "lines": []}"#,
            39,
            r#"{"process": 2}"#,
        );
        let told = law_differences(&sound, &broken).unwrap();
        assert_eq!(told[0], "x seed 1: passed → violated");
        let law = "x seed 1: answered (A client to which nothing was done";
        assert!(
            told[1].starts_with(law) && told[1].ends_with("does not hold any more: c-1 got \\u{1b}502"),
            "{told:?}"
        );
        assert!(
            told[2].starts_with(law) && told[2].ends_with(": 40 cases → 39 cases, excused 2 by process"),
            "{told:?}"
        );
        assert!(law_differences(&broken, &sound).unwrap()[1].contains("holds now: c-1"), "{told:?}");
    }

    #[test]
    fn what_is_no_file_of_results_is_refused_and_what_was_not_played_is_told() {
        let sound = results("passed", "", 40, "{}");
        assert!(law_differences(&sound, "{}").unwrap_err().starts_with("the second results: missing field"));
        let none = law_differences(&sound, r#"{"reports": []}"#).unwrap();
        assert_eq!(none, ["x seed 1: it was not played again"]);
    }
}
