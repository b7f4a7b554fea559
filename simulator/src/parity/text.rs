use std::fmt::Write;

use super::{Figures, Outcome, Report, Row};

impl Report {
    /// As one JSON value.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain strings and numbers always serialise") + "\n"
    }

    /// What differs, for people, and how much was compared.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut compared = 0;
        for row in &self.rows {
            compared += usize::from(row.played().count() > 1);
            for difference in &row.differences {
                let _ = writeln!(text, "differs     {}: {difference}", row.scenario);
            }
            if let (Some(why), false) = (&row.explained, row.differences.is_empty()) {
                let _ = writeln!(text, "            because: {why}");
            }
        }
        let unexplained = self.unexplained();
        let _ = writeln!(
            text,
            "{} scenarios, {compared} compared, {unexplained} with differences that nothing explains",
            self.rows.len()
        );
        text
    }

    /// As a Markdown table: a row per scenario, a column per engine.
    pub fn markdown(&self) -> String {
        let mut table = String::from("| Scenario |");
        for engine in &self.engines {
            let _ = write!(table, " {engine} |");
        }
        table.push_str(" Parity |\n|---|");
        table.push_str(&"---|".repeat(self.engines.len() + 1));
        table.push('\n');
        for row in &self.rows {
            let _ = write!(table, "| {} |", row.scenario);
            for (_, outcome) in &row.outcomes {
                let cell = match outcome {
                    Outcome::Cant(why) => format!("can't: {why}"),
                    Outcome::Played(figures) => figures.cell(),
                };
                let _ = write!(table, " {} |", plain(&cell));
            }
            let _ = writeln!(table, " {} |", plain(&row.parity()));
        }
        table
    }
}

impl Row {
    fn played(&self) -> impl Iterator<Item = &Figures> {
        self.outcomes.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Played(figures) => Some(figures),
            Outcome::Cant(_) => None,
        })
    }

    fn parity(&self) -> String {
        let mut text = match (self.differences.is_empty(), &self.explained) {
            (true, _) if self.played().count() < 2 => "nothing to compare".to_owned(),
            (true, _) => "same".to_owned(),
            (false, Some(why)) => format!("differs: {}; because: {why}", self.differences.join("; ")),
            (false, None) => format!("**differs**: {}", self.differences.join("; ")),
        };
        if let Some(why) = &self.unscaled {
            let _ = write!(text, "; not scaled: {why}");
        }
        text
    }
}

impl Figures {
    fn cell(&self) -> String {
        let each = |counts: &std::collections::BTreeMap<String, u64>| {
            counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        let failed = self.requests - self.ok;
        format!(
            "{}: {} ok, {failed} failed; first picks {}; served {}; {} ejected, {} recovered, {} failed over; \
             p50 {:.1} ms, p99 {:.1} ms; {:.1} s",
            self.verdict.as_str(),
            self.ok,
            each(&self.picks),
            each(&self.served),
            self.ejections,
            self.recoveries,
            self.failovers,
            self.p50_us as f64 / 1e3,
            self.p99_us as f64 / 1e3,
            self.took_ms as f64 / 1e3
        )
    }
}

fn plain(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
