//! Shows a recorded day beside its replay.

use std::fmt::Write;

use serde_json::json;

use super::printable::one_line;
use crate::incident::{Fidelity, Figure};
use crate::judge::RunReport;
use crate::scenario::{Scenario, Seen};

/// The report as a table, with what counts as the same and what the recording had to guess.
pub fn fidelity(fidelity: &Fidelity, seen: &Seen) -> String {
    let mut text = table(fidelity);
    let _ = writeln!(
        text,
        "{} of {} figures differ ({})",
        fidelity.differences().count(),
        fidelity.figures.len(),
        Fidelity::bounds()
    );
    for guess in &seen.guessed {
        let _ = writeln!(text, "guessed: {}", one_line(guess));
    }
    text
}

/// What a run shows of the day that `scenario` was recorded of; empty where it was not.
pub fn fidelity_of(scenario: &Scenario, run: &RunReport) -> String {
    scenario.seen.as_ref().map_or(String::new(), |seen| fidelity(&Fidelity::of(seen, &run.trace), seen))
}

fn table(fidelity: &Fidelity) -> String {
    let width = fidelity.figures.iter().map(|one| one.what.chars().count()).max().unwrap_or(0);
    let mut text = format!("{:width$}  {:<28} {:<28}\n", "", "recorded", "replayed");
    for one in &fidelity.figures {
        let mark = if one.differs { "differs" } else { "" };
        let (what, recorded) = (one_line(&one.what), one_line(&one.recorded));
        let line = format!("{what:width$}  {recorded:<28} {:<28} {mark}", one.replayed);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// How the replay of a recording of the proxy's own log of `scenario` came out, and whether that fails: it differs, or could not be
/// made, and the scenario does not say why.
pub fn live_fidelity(scenario: &Scenario, found: &Result<(Seen, Fidelity), String>, json: bool) -> (String, bool) {
    let name = &scenario.name;
    let why = scenario.replay_differs.as_deref();
    if json {
        let failed = why.is_none() && found.as_ref().map_or(true, |(_, report)| report.differs());
        let told = found.as_ref().map(|(_, report)| report.figures.as_slice());
        return (told_as_json(name, why, told.map_err(String::as_str)), failed);
    }
    let (word, told) = match found {
        Ok((_, report)) if !report.differs() => return (format!("the same    {name}\n"), false),
        Ok((_, report)) => {
            let differing = Fidelity { figures: report.differences().cloned().collect() };
            ("differs", table(&differing))
        }
        Err(error) => ("not played", format!("{}\n", one_line(error))),
    };
    let explained = why.map_or(String::new(), |why| format!(": {}", one_line(why)));
    let told: String = told.lines().map(|line| format!("            {line}\n")).collect();
    (format!("{word:<11} {name}{explained}\n{told}"), why.is_none())
}

/// The report on the scenario of that name as JSON.
pub fn fidelity_json(scenario: &str, fidelity: &Fidelity) -> String {
    told_as_json(scenario, None, Ok(&fidelity.figures))
}

/// What was compared, or why nothing was; `why` is what the scenario says of differences.
fn told_as_json(scenario: &str, why: Option<&str>, found: Result<&[Figure], &str>) -> String {
    let mut told = json!({ "scenario": scenario });
    if let Some(why) = why {
        told["replay_differs"] = json!(why);
    }
    match found {
        Ok(figures) => told["figures"] = json!(figures),
        Err(error) => told["not_played"] = json!(error),
    }
    format!("{told:#}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    /// Such a file is passed on, and comes from others.
    #[test]
    fn what_a_file_says_gives_no_terminal_and_no_pipeline_an_order() {
        let seen = Seen { guessed: vec!["x\u{1b}[2J\n::error::y".to_owned()], ..Seen::default() };
        let text = fidelity(&Fidelity { figures: Vec::new() }, &seen);
        assert!(text.ends_with("guessed: x\\u{1b}[2J\\n::error::y\n"), "{text}");
    }

    #[test]
    fn a_replay_of_a_live_log_that_differs_fails_unless_its_scenario_says_why() {
        let scenario = |why: &str| {
            let text = format!(
                r#"{{"name": "x", "story": "x", "duration": "1s", {why} "upstreams": [{{"name": "a"}}],
                "clients": [{{"name": "c", "do": "echo", "requests": 1, "rate": 1}}]}}"#
            );
            crate::scenario::parse(&text).unwrap()
        };
        let found = |differs| {
            let (recorded, replayed) = ("1".to_owned(), "2".to_owned());
            let figures = vec![Figure { what: "failed".to_owned(), recorded, replayed, differs }];
            Ok((Seen::default(), Fidelity { figures }))
        };
        let (plain, excused) = (scenario(""), scenario(r#""replay_differs": "x\u001by","#));
        assert_eq!(live_fidelity(&plain, &found(false), false), ("the same    x\n".to_owned(), false));
        let (text, fails) = live_fidelity(&plain, &found(true), false);
        assert!(fails && text.starts_with("differs     x\n") && text.contains("failed  1"), "{text}");
        let (text, fails) = live_fidelity(&excused, &found(true), false);
        assert!(!fails && text.starts_with("differs     x: x\\u{1b}y\n"), "{text}");
        let (text, fails) = live_fidelity(&plain, &Err("no port".to_owned()), false);
        assert!(fails && text == "not played  x\n            no port\n", "{text}");
        let json = |scenario: &Scenario, found| {
            let (text, fails) = live_fidelity(scenario, &found, true);
            (serde_json::from_str::<Json>(&text).unwrap(), fails)
        };
        let (told, fails) = json(&excused, found(true));
        assert!(!fails && told["scenario"] == "x" && told["replay_differs"] == "x\u{1b}y", "{told}");
        assert_eq!(told["figures"][0]["differs"], true);
        let (told, fails) = json(&plain, Err("no port".to_owned()));
        assert!(fails && told["scenario"] == "x" && told["not_played"] == "no port", "{told}");
    }

    #[test]
    fn what_differs_is_marked_and_counted_and_guesses_are_told() {
        let figure = |what: &str, differs| Figure {
            what: what.to_owned(),
            recorded: "1".to_owned(),
            replayed: "2".to_owned(),
            differs,
        };
        let report = Fidelity { figures: vec![figure("a", false), figure("longer", true)] };
        let seen = Seen { guessed: vec!["times".to_owned()], ..Seen::default() };
        let text = fidelity(&report, &seen);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("a       1") && !lines[1].contains("differs"), "{text}");
        assert!(lines[2].ends_with("differs") && lines[3].starts_with("1 of 2 figures differ"), "{text}");
        assert_eq!(lines[4], "guessed: times");
        let json = fidelity_json("x", &report);
        assert!(json.contains("\"scenario\": \"x\"") && json.contains("\"differs\": true"), "{json}");
    }
}
