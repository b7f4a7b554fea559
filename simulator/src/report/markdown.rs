//! Writes reports of runs as a Markdown table.

use std::fmt::Write;

use crate::judge::RunReport;

/// As a Markdown table, for a summary page of a pipeline.
pub fn markdown(reports: &[RunReport]) -> String {
    let mut table = String::from(
        "| Scenario | Seed | Engine | Verdict | Requests | What does not hold |\n|---|---|---|---|---|---|\n",
    );
    for report in reports {
        let RunReport { scenario, seed, engine, verdict, requests, violations, .. } = report;
        let first = violations.first().map_or(String::new(), |one| {
            let more =
                if violations.len() > 1 { format!(" (and {} more)", violations.len() - 1) } else { String::new() };
            format!("{}: {}{more}", one.of, one.text.replace('|', "\\|").replace('\n', " "))
        });
        let _ = writeln!(table, "| {scenario} | {seed} | {engine} | {} | {requests} | {first} |", verdict.as_str());
    }
    table
}
