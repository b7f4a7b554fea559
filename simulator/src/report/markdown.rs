//! Writes reports of runs as a Markdown table.

use std::fmt::Write;

use crate::explore::base::SinceBase;
use crate::judge::RunReport;

/// As a Markdown table, for a summary page of a pipeline, below what has changed since the base.
pub fn markdown(reports: &[RunReport], since: Option<&SinceBase>) -> String {
    let mut table = since.map_or_else(String::new, |since| changes(since) + "\n");
    table.push_str(
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

/// What has changed since the base, as a list; what there is none of is left out.
fn changes(since: &SinceBase) -> String {
    let mut text = format!("**{} new failures**\n\n", since.new.len());
    for (what, runs) in since.lists() {
        for (scenario, seed) in runs {
            let _ = writeln!(text, "- {what}: {scenario}, seed {seed}");
        }
    }
    text
}
