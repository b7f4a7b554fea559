//! Shows a recorded day beside its replay.

use std::fmt::Write;

use super::printable::one_line;
use crate::incident::Fidelity;
use crate::scenario::Seen;

/// The report as a table, with what counts as the same and what the recording had to guess.
pub fn fidelity(fidelity: &Fidelity, seen: &Seen) -> String {
    let width = fidelity.figures.iter().map(|one| one.what.chars().count()).max().unwrap_or(0);
    let mut text = format!("{:width$}  {:<28} {:<28}\n", "", "recorded", "replayed");
    for one in &fidelity.figures {
        let mark = if one.differs { "differs" } else { "" };
        let (what, recorded) = (one_line(&one.what), one_line(&one.recorded));
        let line = format!("{what:width$}  {recorded:<28} {:<28} {mark}", one.replayed);
        let _ = writeln!(text, "{}", line.trim_end());
    }
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

/// The report as JSON.
pub fn fidelity_json(fidelity: &Fidelity) -> String {
    serde_json::to_string_pretty(fidelity).expect("plain strings always serialise") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::Figure;

    /// Such a file is passed on, and comes from others.
    #[test]
    fn what_a_file_says_gives_no_terminal_and_no_pipeline_an_order() {
        let seen = Seen { guessed: vec!["x\u{1b}[2J\n::error::y".to_owned()], ..Seen::default() };
        let text = fidelity(&Fidelity { figures: Vec::new() }, &seen);
        assert!(text.ends_with("guessed: x\\u{1b}[2J\\n::error::y\n"), "{text}");
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
        assert!(fidelity_json(&report).contains("\"differs\": true"));
    }
}
