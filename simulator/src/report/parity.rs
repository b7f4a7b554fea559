//! Writes a comparison of engines as text, Markdown and JSON.

use std::fmt::Write;

use crate::explore::parity::{Comparison, EngineOutcome, Figures, Row};

/// A comparison of engines as one JSON value.
pub fn comparison_json(comparison: &Comparison) -> String {
    serde_json::to_string_pretty(comparison).expect("plain strings and numbers always serialise") + "\n"
}

/// What differs between engines, for people, and how much was compared.
pub fn comparison_text(comparison: &Comparison) -> String {
    let mut text = String::new();
    let mut compared = 0;
    for row in &comparison.rows {
        compared += usize::from(row.played().count() > 1);
        for difference in &row.differences {
            let _ = writeln!(text, "differs     {}: {}", row.scenario, difference.text);
            if let Some(why) = &difference.explained {
                let _ = writeln!(text, "            because: {why}");
            }
        }
    }
    let unexplained = comparison.unexplained();
    let _ = writeln!(
        text,
        "{} scenarios, {compared} compared, {unexplained} with differences that nothing explains",
        comparison.rows.len()
    );
    text
}

/// A comparison of engines as a Markdown table: a row per scenario, a column per engine.
pub fn comparison_markdown(comparison: &Comparison) -> String {
    let mut table = String::from("| Scenario |");
    for engine in &comparison.engines {
        let _ = write!(table, " {engine} |");
    }
    table.push_str(" Parity |\n|---|");
    table.push_str(&"---|".repeat(comparison.engines.len() + 1));
    table.push('\n');
    for row in &comparison.rows {
        let _ = write!(table, "| {} |", row.scenario);
        for (_, outcome) in &row.outcomes {
            let cell = match outcome {
                EngineOutcome::Cant(why) => format!("can't: {why}"),
                EngineOutcome::Played(figures) => cell(figures),
            };
            let _ = write!(table, " {} |", plain(&cell));
        }
        let _ = writeln!(table, " {} |", plain(&parity(row)));
    }
    table
}

fn parity(row: &Row) -> String {
    let each = row.differences.iter().map(|one| match &one.explained {
        Some(why) => format!("{}; because: {why}", one.text),
        None => one.text.clone(),
    });
    let each = each.collect::<Vec<_>>().join("; ");
    let mut text = match (row.differences.is_empty(), row.is_explained()) {
        (true, _) if row.played().count() < 2 => "nothing to compare".to_owned(),
        (true, _) => "same".to_owned(),
        (false, true) => format!("differs: {each}"),
        (false, false) => format!("**differs**: {each}"),
    };
    if let Some(why) = &row.unscaled {
        let _ = write!(text, "; not scaled: {why}");
    }
    text
}

fn cell(figures: &Figures) -> String {
    let each = |counts: &std::collections::BTreeMap<String, u64>| {
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    let failed = figures.requests - figures.ok;
    format!(
        "{}: {} ok, {failed} failed; first picks {}; served {}; {} ejected, {} recovered, {} failed over; \
         p50 {:.1} ms, p99 {:.1} ms; {:.1} s",
        figures.verdict.as_str(),
        figures.ok,
        each(&figures.picks),
        each(&figures.served),
        figures.ejections,
        figures.recoveries,
        figures.failovers,
        figures.p50_us as f64 / 1e3,
        figures.p99_us as f64 / 1e3,
        figures.took_ms as f64 / 1e3
    )
}

fn plain(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::parity::Difference;
    use crate::scenario::Aspect;

    #[test]
    fn a_difference_that_is_explained_is_told_apart_from_one_that_is_not() {
        let row = |explained: Option<&str>| Row {
            scenario: "s".to_owned(),
            outcomes: Vec::new(),
            differences: vec![Difference {
                aspect: Aspect::Successes,
                text: "successes".to_owned(),
                explained: explained.map(str::to_owned),
            }],
            unscaled: None,
        };
        let comparison = Comparison { engines: Vec::new(), rows: vec![row(None), row(Some("retries are real here"))] };
        let markdown = comparison_markdown(&comparison);
        assert!(markdown.contains("**differs**") && markdown.contains("because: retries are real here"), "{markdown}");
    }
}
