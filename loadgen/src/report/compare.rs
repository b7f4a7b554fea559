//! Compares two runs: what differs, and whether chance may explain it.

use std::fmt::Write;

use super::load_report::LoadReport;
use crate::quantity::show;
use crate::verdict::significance::{rank_sum_z, shares_z, two_sided};

/// Below this chance a difference counts as one.
const LEVEL: f64 = 0.01;

/// Says in text how the runs differ, and whether `after` is significantly worse: slower, or with more errors.
pub fn compare(before: &LoadReport, after: &LoadReport) -> (String, bool) {
    let mut text = String::new();
    let worse = write(&mut text, before, after);
    (text, worse)
}

fn write(text: &mut String, before: &LoadReport, after: &LoadReport) -> bool {
    // Writing to a String can't fail.
    let _ = writeln!(text, "{:<34}{:>14}{:>14}{:>10}", "", "before", "after", "change");
    let percent = |a: f64, b: f64| if a > 0.0 { format!("{:+.1} %", (b - a) / a * 100.0) } else { "-".to_owned() };
    let (rate_a, rate_b) = (before.rate(), after.rate());
    let _ = writeln!(text, "{:<34}{rate_a:>14.1}{rate_b:>14.1}{:>10}", "ok in a second", percent(rate_a, rate_b));
    let (errors_a, errors_b) = (before.errors, after.errors);
    let change = percent(errors_a as f64, errors_b as f64);
    let _ = writeln!(text, "{:<34}{errors_a:>14}{errors_b:>14}{change:>10}", "errors");
    for (name, what) in super::text::TIMES {
        let (a, b) = (before.latency(name), after.latency(name));
        if a.count == 0 || b.count == 0 {
            continue;
        }
        for point in ["p50", "p99"] {
            let (a, b) = (a.point(point), b.point(point));
            let change = percent(a.as_secs_f64(), b.as_secs_f64());
            let label = format!("{what}, {point}");
            let _ = writeln!(text, "{label:<34}{:>14}{:>14}{change:>10}", show(a), show(b));
        }
    }
    let (a, b) = (before.latency("corrected"), after.latency("corrected"));
    let z = rank_sum_z(&a.recorded, &b.recorded);
    let slower = judge(text, "latency (rank sum)", z, "slower", "faster");
    let over = |report: &LoadReport| (report.errors, report.ok + report.errors);
    let z = shares_z(over(before), over(after));
    let failing = judge(text, "errors (shares)", z, "more errors", "fewer errors");
    if before.saturated || after.saturated {
        text.push_str("one of the runs was saturated: its latencies say more of loadgen than of the proxy\n");
    }
    slower || failing
}

/// Says what `z` means; whether it is significant and above 0.
fn judge(text: &mut String, name: &str, z: f64, up: &str, down: &str) -> bool {
    let chance = two_sided(z);
    let significant = chance < LEVEL;
    let word = match (significant, z > 0.0) {
        (false, _) => "no significant difference",
        (true, true) => up,
        (true, false) => down,
    };
    let _ = writeln!(text, "{name}: {word} (z = {z:.2}, p = {chance:.2e}, level {LEVEL})");
    significant && z > 0.0
}
