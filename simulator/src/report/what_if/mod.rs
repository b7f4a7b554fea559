//! Shows a day under several settings, side by side.

mod chart;
mod page;

use std::fmt::Write;

use crate::incident::{LEVEL, Spread, WhatIf};

/// The figures as a table: the mean, and between which values nine runs of ten lie. A star marks what differs by more than chance.
pub fn what_if(what_if: &WhatIf) -> String {
    let mut rows = vec![[vec![String::new(), "as it was".to_owned()], what_if.candidates.clone()].concat()];
    for one in &what_if.figures {
        let mut row = vec![one.figure.clone(), shown(one.as_it_was)];
        row.extend(one.candidates.iter().map(|under| shown(under.spread) + if under.real { " *" } else { "" }));
        rows.push(row);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    let (first, last) = what_if.seeds;
    let _ = writeln!(
        text,
        "means over the seeds {first} to {last}, and between which values nine runs of ten lie; * differs from how it was by more than \
         chance (sign test over the seeds, level {LEVEL})"
    );
    if what_if.unplayed > 0 {
        let _ = writeln!(text, "{} runs could not be played to their end and are missing", what_if.unplayed);
    }
    text
}

fn shown(spread: Option<Spread>) -> String {
    let number = |value: f64| if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    spread.map_or_else(
        || "-".to_owned(),
        |Spread { mean, low, high, .. }| format!("{} ({}..{})", number(mean), number(low), number(high)),
    )
}

pub use page::page;

/// The figures as JSON.
pub fn what_if_json(what_if: &WhatIf) -> String {
    serde_json::to_string_pretty(what_if).expect("plain strings and numbers always serialise") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{Compared, Under};

    #[test]
    fn what_is_real_has_a_star_and_what_is_missing_a_dash() {
        let spread = |mean| Some(Spread { mean, low: 0.0, high: 1234.0, runs: 3 });
        let under = |spread, real| Under { spread, chance: 0.0, real };
        let what = WhatIf {
            candidates: vec!["one.json".to_owned(), "two.json".to_owned()],
            seeds: (1, 3),
            figures: vec![Compared {
                figure: "harmed".to_owned(),
                as_it_was: spread(7.5),
                candidates: vec![under(spread(1.0), true), under(None, false)],
            }],
            courses: Vec::new(),
            unplayed: 2,
        };
        let text = what_if(&what);
        assert!(text.contains("harmed  7.50 (0.00..1234)  1.00 (0.00..1234) *  -\n"), "{text}");
        assert!(text.contains("seeds 1 to 3") && text.contains("2 runs could not"), "{text}");
        assert!(what_if_json(&what).contains("\"real\": true"));
    }
}
