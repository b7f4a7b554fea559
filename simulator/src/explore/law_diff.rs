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
    violations: Vec<Violation>,
    laws: Vec<Counts>,
}

#[derive(Deserialize)]
struct Violation {
    of: String,
    text: String,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
struct Counts {
    law: String,
    cases: u64,
    #[serde(default)]
    excused: BTreeMap<String, u64>,
}

/// How the runs in `one` differ from those in `other`, both as `simulator run --json` writes them, a sentence each; none where every
/// law found, counted and excused the same.
///
/// # Errors
/// One of them is no file of results, or there is no run in the first.
pub fn law_differences(one: &str, other: &str) -> Result<Vec<String>, String> {
    let read = |text: &str, which: &str| {
        serde_json::from_str::<Told>(text).map_err(|error| format!("the {which} results: {error}"))
    };
    let (one, other) = (read(one, "first")?.reports, read(other, "second")?.reports);
    if one.is_empty() {
        return Err("the first results: there is no run in them, so that nothing can be held against it".to_owned());
    }
    let mut sentences = Vec::new();
    for was in &one {
        match other.iter().find(|is| is.run() == was.run()) {
            Some(is) => of_run(was, is, &mut sentences),
            None => sentences.push(format!("{}: it was not played again", was.name())),
        }
    }
    for is in other.iter().filter(|is| !one.iter().any(|was| was.run() == is.run())) {
        sentences.push(format!("{}: it was not played before", is.name()));
    }
    Ok(sentences)
}

impl Report {
    fn run(&self) -> (&str, u64) {
        (&self.scenario, self.seed)
    }

    fn name(&self) -> String {
        format!("{} seed {}", shown(&self.scenario), self.seed)
    }

    /// What was found, by the names of laws, in an order that says nothing.
    fn found(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for one in &self.violations {
            found.entry(&one.of).or_default().push(&one.text);
        }
        found.values_mut().for_each(|texts| texts.sort_unstable());
        found
    }
}

fn of_run(was: &Report, is: &Report, sentences: &mut Vec<String>) {
    let name = is.name();
    if was.verdict != is.verdict {
        sentences.push(format!("{name}: {} → {}", shown(&was.verdict), shown(&is.verdict)));
    }
    let (before, now) = (was.found(), is.found());
    for of in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
        match (before.get(of), now.get(of)) {
            (Some(before), Some(now)) if before == now => {}
            (Some(before), Some(now)) => {
                let text = now.iter().find(|text| !before.contains(text)).or(now.first());
                let text = shown(text.copied().unwrap_or_default());
                sentences.push(format!("{name}: {} found {} → {}: {text}", law(of), before.len(), now.len()));
            }
            (before, now) => {
                let word = if now.is_none() { "holds now" } else { "does not hold any more" };
                let texts = before.or(now).map_or(&[][..], Vec::as_slice);
                for text in texts.iter().take(TOLD) {
                    sentences.push(format!("{name}: {} {word}: {}", law(of), shown(text)));
                }
                if texts.len() > TOLD {
                    sentences.push(format!("{name}: {} {word}: {} more", law(of), texts.len() - TOLD));
                }
            }
        }
    }
    let of = |report: &Report, law: &str| report.laws.iter().find(|one| one.law == law).cloned();
    for one in was.laws.iter().chain(&is.laws).map(|one| one.law.as_str()).collect::<BTreeSet<_>>() {
        let (before, now) = (of(was, one), of(is, one));
        // A law that one side does not know, and that had nothing to say on the other, is no difference.
        let nothing = Counts { law: one.to_owned(), cases: 0, excused: BTreeMap::new() };
        if before.as_ref().unwrap_or(&nothing) != now.as_ref().unwrap_or(&nothing) {
            let counts = |side: &Option<Counts>| side.as_ref().map_or("not asked".to_owned(), counts);
            sentences.push(format!("{name}: {}: {} → {}", law(one), counts(&before), counts(&now)));
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
        assert_eq!(told, [""; 0]);
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
    fn no_difference_hides_behind_the_first_side_or_behind_a_law_that_was_broken_before() {
        let sound = results("passed", "", 40, "{}");
        let found = |texts: &[&str]| {
            let one = |text: &&str| format!(r#"{{"of": "answered", "text": "{text}", "lines": []}}"#);
            results("violated", &texts.iter().map(one).collect::<Vec<_>>().join(","), 40, "{}")
        };
        let told = |one: &str, other: &str| law_differences(one, other).unwrap();
        let one = found(&["a"]);
        assert_eq!(told(&one, &one), [""; 0]);
        assert!(
            told(&one, &found(&["a", "b"]))[0].ends_with("found 1 → 2: b"),
            "{:?}",
            told(&one, &found(&["a", "b"]))
        );
        assert!(told(&one, &found(&["b"]))[0].ends_with("found 1 → 1: b"));
        assert!(told(&found(&["b", "b"]), &found(&["b"]))[0].ends_with("found 2 → 1: b"));
        let many = told(&sound, &found(&["a", "b", "c", "d", "e"]));
        assert!(many[4].ends_with("does not hold any more: 2 more"), "{many:?}");
        // A run, and a law, on one side alone.
        let other_run = sound.replace(r#""seed": 1"#, r#""seed": 2"#);
        assert_eq!(
            told(&sound, &other_run),
            ["x seed 1: it was not played again", "x seed 2: it was not played before"]
        );
        let other_law = sound.replace("answered", "bytes");
        let laws = told(&sound, &other_law);
        assert!(laws[0].ends_with(": 40 cases → not asked") && laws[1].ends_with(": not asked → 40 cases"), "{laws:?}");
        let idle = results("passed", "", 0, "{}");
        assert_eq!(told(&idle, &idle.replace("answered", "bytes")), [""; 0], "neither had a case");
    }

    #[test]
    fn what_is_no_file_of_results_is_refused_and_what_was_not_played_is_told() {
        let sound = results("passed", "", 40, "{}");
        assert!(law_differences(&sound, "{}").unwrap_err().starts_with("the second results: missing field"));
        let none = law_differences(&sound, r#"{"reports": []}"#).unwrap();
        assert_eq!(none, ["x seed 1: it was not played again"]);
        let error = law_differences(r#"{"reports": []}"#, &sound).unwrap_err();
        assert!(error.starts_with("the first results: there is no run"), "{error}");
        // Where nobody counted, nobody may say that the counts are the same.
        let old = r#"{"reports": [{"scenario": "x", "seed": 1, "verdict": "passed", "violations": []}]}"#;
        assert!(law_differences(old, &sound).unwrap_err().contains("missing field `laws`"));
    }
}
