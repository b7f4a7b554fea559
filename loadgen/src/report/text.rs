//! Writes the report as text for a terminal.

use std::fmt::Write;

use super::load_report::LoadReport;
use crate::quantity::{show, show_bytes};

/// Names of times, in the order in which a request meets them, with what they are.
pub(super) const TIMES: [(&str, &str); 9] = [
    ("corrected", "latency from the intended start"),
    ("ok", "  of those that went well"),
    ("uncorrected", "latency from the real start"),
    ("connect", "TCP to the proxy"),
    ("reply", "CONNECT reply"),
    ("tls", "TLS with the target"),
    ("first_byte", "first byte"),
    ("last_byte", "last byte"),
    ("lag", "lag of loadgen itself"),
];

/// Columns of times.
pub(super) const COLUMNS: [&str; 6] = ["p50", "p90", "p99", "p99.9", "max", "mean"];

/// Renders the whole report.
pub fn render(report: &LoadReport) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &LoadReport) -> std::fmt::Result {
    for line in &report.workload {
        writeln!(text, "{line}")?;
    }
    let early = if report.interrupted { ", stopped early" } else { "" };
    writeln!(text, "\n{} requests in {:.2} s{early}, seed {}", report.began, report.seconds, report.seed)?;
    writeln!(text, "  ok {} ({:.1}/s), errors {}", report.ok, report.rate(), report.errors)?;
    if report.not_judged > 0 {
        writeln!(text, "  {} more ended for reasons of loadgen's own; they count neither way", report.not_judged)?;
    }
    for (failure, count) in &report.failures {
        writeln!(text, "  {count:>10}  {failure}")?;
    }
    if report.actions.len() > 1 {
        for action in &report.actions {
            writeln!(text, "  {:>10}  {} ({} failed)", action.requests, action.action, action.failed)?;
        }
    }
    let (up, down) = (report.bytes_up as f64, report.bytes_down as f64);
    writeln!(
        text,
        "  bytes up {}, down {}; tunnels open at once {}",
        show_bytes(up),
        show_bytes(down),
        report.tunnels
    )?;
    write!(text, "\n{:<34}", "")?;
    for column in COLUMNS {
        write!(text, "{column:>11}")?;
    }
    writeln!(text)?;
    for (name, what) in TIMES {
        let latency = report.latency(name);
        if latency.count > 0 {
            write!(text, "{what:<34}")?;
            for column in COLUMNS {
                write!(text, "{:>11}", show(latency.point(column)))?;
            }
            writeln!(text)?;
        }
    }
    if !report.exits.is_empty() {
        let sum: u64 = report.exits.values().sum();
        writeln!(text, "\nexits")?;
        for (exit, count) in &report.exits {
            writeln!(text, "  {count:>10}  {:>6.2} %  {exit}", *count as f64 * 100.0 / sum as f64)?;
        }
    }
    if let Some((began, ended)) = report.fault {
        let until = ended.map_or_else(|| "the end".to_owned(), |ended| format!("{ended:.2} s"));
        writeln!(text, "\nfault from {began:.2} s to {until}")?;
    }
    if let Some(seen) = report.process {
        let show = |bytes: u64| show_bytes(bytes as f64);
        let (begin, most, end) = (show(seen.memory_begin), show(seen.memory_most), show(seen.memory_end));
        write!(text, "\nproxy's memory {begin} at the begin, {most} at most, {end} at rest")?;
        if let Some(each) = report.figure("memory_per_tunnel") {
            write!(text, " ({} for each tunnel open at once)", show_bytes(each))?;
        }
        let (begin, most, end) = (seen.descriptors_begin, seen.descriptors_most, seen.descriptors_end);
        writeln!(text, "\nproxy's descriptors {begin} at the begin, {most} at most, {end} at rest")?;
    }
    let (busiest, each) = (report.effort.busiest * 100.0, show(report.effort_each()));
    writeln!(
        text,
        "\nloadgen's own CPU: {:.2} s, {each} for each request; its busiest thread had work for {busiest:.0} % of the time",
        report.effort.seconds
    )?;
    if report.saturated {
        writeln!(
            text,
            "\nTHE LOAD GENERATOR WAS SATURATED: by its lag or its CPU above, rate and latency are its own;\n\
             ask for less, or give it more cores and --threads"
        )?;
    }
    for note in &report.notes {
        writeln!(text, "note: {note}")?;
    }
    if !report.verdicts.is_empty() {
        writeln!(text)?;
    }
    for verdict in &report.verdicts {
        writeln!(text, "{} {}: {}", verdict.finding.word(), verdict.name, verdict.text)?;
    }
    Ok(())
}
