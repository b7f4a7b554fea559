//! Writes the report as Markdown, for a pull request or the summary of a CI job.

use std::fmt::Write;

use super::load_report::LoadReport;
use super::text::{COLUMNS, TIMES};
use crate::quantity::show;
use crate::verdict::Finding;

/// Renders the whole report.
pub fn render(report: &LoadReport) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write(&mut text, report);
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn write(text: &mut String, report: &LoadReport) -> std::fmt::Result {
    let word = match report.finding() {
        Finding::Kept => "passed",
        Finding::NotJudgeable => "not judgeable",
        Finding::Missed => "FAILED",
    };
    writeln!(text, "## loadgen: {word}\n")?;
    for line in &report.workload {
        writeln!(text, "    {line}")?;
    }
    writeln!(
        text,
        "\n| requests | seconds | ok/s | ok | errors | not judged | tunnels |\n|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    let (rate, seconds) = (report.rate(), report.seconds);
    let (began, ok, errors, other) = (report.began, report.ok, report.errors, report.not_judged);
    writeln!(text, "| {began} | {seconds:.2} | {rate:.1} | {ok} | {errors} | {other} | {} |", report.tunnels)?;
    if report.saturated {
        writeln!(text, "\n**The load generator was saturated: rate and latency are its own.**")?;
    }
    writeln!(text, "\n| | {} |\n|---|{}", COLUMNS.join(" | "), "--:|".repeat(COLUMNS.len()))?;
    for (name, what) in TIMES {
        let latency = report.latency(name);
        if latency.count > 0 {
            let cells: Vec<_> = COLUMNS.iter().map(|column| show(latency.point(column))).collect();
            writeln!(text, "| {what} | {} |", cells.join(" | "))?;
        }
    }
    if !report.failures.is_empty() {
        writeln!(text, "\n| failures | |\n|--:|---|")?;
        for (failure, count) in &report.failures {
            writeln!(text, "| {count} | {} |", cell(failure))?;
        }
    }
    if !report.verdicts.is_empty() {
        writeln!(text, "\n| verdict | | |\n|---|---|---|")?;
        for verdict in &report.verdicts {
            let word = verdict.finding.word();
            let word = if verdict.passed() { word.to_owned() } else { format!("**{word}**") };
            writeln!(text, "| {word} | {} | {} |", cell(&verdict.name), cell(&verdict.text))?;
        }
    }
    for note in &report.notes {
        writeln!(text, "\nNote: {note}")?;
    }
    Ok(())
}
