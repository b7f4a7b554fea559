//! Writes reports of runs as text, for people.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

use crate::judge::{LawTotals, MOST_EXCUSED, RunReport, Verdict};
use crate::subject::NETDRIFT;
use crate::world::EngineKind;

/// Lines shown around each that disagrees.
const AROUND: usize = 2;
/// Violations shown whole, and lines shown for each.
const SHOWN: usize = 5;
const LINES_SHOWN: usize = 12;

/// One run in one line.
pub fn line(report: &RunReport) -> String {
    let RunReport { scenario, seed, verdict, digest, requests, virtual_ms, .. } = report;
    let seconds = virtual_ms / 1000;
    let late = report.engine.tolerance();
    let allowed = if late.is_zero() { String::new() } else { format!(", up to {late:?} late allowed") };
    let skipped = match report.skipped.len() {
        0 => String::new(),
        number => format!(", not judged by {number} laws and expectations"),
    };
    format!(
        "{:<11} {scenario} seed {seed}: {requests} requests in {seconds} s, digest {digest}{allowed}{skipped}",
        verdict.as_str()
    )
}

/// What went wrong, the lines that disagree, and the one command that shows it again; empty where nothing did.
pub fn failure(report: &RunReport, file: &Path) -> String {
    let mut text = String::new();
    if report.verdict == Verdict::Passed {
        return text;
    }
    for violation in report.violations.iter().take(SHOWN) {
        let _ = writeln!(text, "  {}: {}", violation.of, violation.text);
        let mut last = None;
        for place in violation.lines.iter().copied().take(LINES_SHOWN) {
            for near in place.saturating_sub(AROUND)..=(place + AROUND) {
                let Some(line) = report.trace.lines.get(near).filter(|_| last.is_none_or(|last| near > last)) else {
                    continue;
                };
                let mark = if violation.lines.contains(&near) { '>' } else { ' ' };
                let _ = writeln!(text, "    {mark} {near:>6} {}", line.to_json());
                last = Some(near);
            }
        }
    }
    if report.violations.len() > SHOWN {
        let _ = writeln!(text, "  and {} more", report.violations.len() - SHOWN);
    }
    let _ = writeln!(text, "  again: {}", replay_command(report, file));
    text
}

/// What each law has checked over many runs: cases, how many of them were excused and why, and what was found.
pub fn laws(totals: &LawTotals) -> String {
    let mut text =
        format!("{:<14} {:<9} {:>9} {:>8}  {:>5}  excused because\n", "law", "kind", "cases", "excused", "found");
    for law in totals.laws() {
        let share = law.excused_share();
        let mark = if share > MOST_EXCUSED { '!' } else { ' ' };
        let reasons = law.excused.iter().map(|(why, number)| format!("{} {number}", why.as_str()));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        let (kind, percent) = (law.kind.as_str(), share * 100.0);
        let row =
            format!("{:<14} {kind:<9} {:>9} {percent:>7.2}%{mark} {:>5}  {reasons}", law.law, law.cases, law.found);
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

/// The command that plays a run again.
pub fn replay_command(report: &RunReport, file: &Path) -> String {
    let engine = match report.engine {
        engine if engine == EngineKind::default() => String::new(),
        engine => format!(" --engine {engine}"),
    };
    let subject = match report.subject.as_str() {
        NETDRIFT => String::new(),
        subject => format!(" --subject {}", word(subject)),
    };
    format!("simulator replay {} --seed {}{engine}{subject}", word(&file.display().to_string()), report.seed)
}

/// A word of a shell's command: a file may be called what a shell would obey.
fn word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    let is_word = !text.is_empty() && text.chars().all(plain);
    if is_word { Cow::Borrowed(text) } else { Cow::Owned(format!("'{}'", text.replace('\'', "'\\''"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::run_on;
    use crate::scenario;

    #[test]
    fn a_file_that_is_called_like_a_command_is_none() {
        assert_eq!(word("sweep/swarm-1.json"), "sweep/swarm-1.json");
        assert_eq!(word("a;curl x|sh.json"), "'a;curl x|sh.json'");
        assert_eq!(word("it's $(x)"), r"'it'\''s $(x)'");
        assert_eq!(word(""), "''");
    }

    #[test]
    fn the_command_that_shows_it_again_names_an_engine_that_is_not_the_default() {
        let lossy = r#"{"name": "x", "story": "x", "duration": "1s", "network": {"loss": 0.5},
            "upstreams": [{"name": "a"}], "clients": [{"name": "k", "do": "echo", "requests": 1}]}"#;
        let report = run_on(EngineKind::Turmoil, &scenario::parse(lossy).unwrap(), 7);
        let text = failure(&report, Path::new("x.json"));
        assert!(text.contains("unsupported: loss: "), "{text}");
        assert!(text.ends_with("again: simulator replay x.json --seed 7 --engine turmoil\n"), "{text}");
        let text = failure(&RunReport { engine: EngineKind::default(), ..report }, Path::new("x.json"));
        assert!(text.ends_with("again: simulator replay x.json --seed 7\n"), "{text}");
    }

    #[test]
    fn the_table_of_laws_names_what_was_excused_and_marks_what_was_mostly_so() {
        let story = r#"{"name": "x", "story": "x", "duration": "2s", "upstreams": [{"name": "a", "plan": {"faults": [{"fault": "cut"}]}}],
            "clients": [{"name": "k", "do": "echo", "requests": 4}]}"#;
        let mut totals = LawTotals::default();
        totals.add(&run_on(EngineKind::default(), &scenario::parse(story).unwrap(), 1).laws);
        let table = laws(&totals);
        let row = |law: &str| table.lines().find(|row| row.starts_with(law)).unwrap().to_owned();
        assert!(row("answered").contains("! ") && row("answered").ends_with("request struck 4"), "{table}");
        assert!(row("once").contains("black-box") && row("once").contains("0.00% "), "{table}");
    }
}
