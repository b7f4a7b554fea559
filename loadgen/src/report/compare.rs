//! Compares two runs: what differs, and whether chance may explain it.

use std::fmt::Write;

use super::load_report::LoadReport;
use super::window::Window;
use crate::quantity::show;
use crate::verdict::Finding;
use crate::verdict::significance::{rank_sum_z, two_sided};

/// Below this chance a difference counts as one.
const LEVEL: f64 = 0.01;

/// Into how many batches of windows a run is cut.
const BATCHES: usize = 10;

/// Says in text how the runs differ, and whether `after` is significantly worse: slower, or with more errors.
///
/// Requests of one run are no independent samples: what slows one slows its neighbours. So each run is cut into batches of
/// windows, and the batches' means are compared (batch means, Law and Kelton). Too few windows: not judgeable.
pub fn compare(before: &LoadReport, after: &LoadReport) -> (String, Finding) {
    let mut text = String::new();
    let finding = write(&mut text, before, after);
    (text, finding)
}

fn write(text: &mut String, before: &LoadReport, after: &LoadReport) -> Finding {
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
    if before.saturated || after.saturated {
        text.push_str("one of the runs was saturated: its latencies say more of loadgen than of the proxy\n");
    }
    let judged = [
        ("latency, p50", ["slower", "faster"], (|window| window.latency[0] as f64) as fn(&Window) -> f64),
        ("latency, p99", ["slower", "faster"], |window| window.latency[2] as f64),
        ("errors", ["more errors", "fewer errors"], |window| window.errors as f64 / (window.ok + window.errors) as f64),
    ];
    let (Some(before), Some(after)) = (batches(before), batches(after)) else {
        let _ = writeln!(
            text,
            "not comparable: requests of one run depend on each other, so {BATCHES} windows of time with requests are \
             needed of each run; let them run longer"
        );
        return Finding::NotJudgeable;
    };
    let mut finding = Finding::Kept;
    for (name, [up, down], figure) in judged {
        if judge(text, name, rank_sum_z(&means(&before, figure), &means(&after, figure)), up, down) {
            finding = Finding::Missed;
        }
    }
    finding
}

/// Cuts a run into batches of windows, each of about the same number; `None` where it has too few windows with requests.
fn batches(report: &LoadReport) -> Option<Vec<Vec<&Window>>> {
    let windows: Vec<_> = report.series.iter().filter(|window| window.ok + window.errors > 0).collect();
    let bound = |batch: usize| batch * windows.len() / BATCHES;
    (windows.len() >= BATCHES)
        .then(|| (0..BATCHES).map(|batch| windows[bound(batch)..bound(batch + 1)].to_vec()).collect())
}

/// The means of a figure over each batch, in millionths, as the rank-sum test wants them.
fn means(batches: &[Vec<&Window>], figure: fn(&Window) -> f64) -> Vec<(u64, u64)> {
    let mean = |batch: &Vec<&Window>| batch.iter().map(|window| figure(window)).sum::<f64>() / batch.len() as f64;
    batches.iter().map(|batch| ((mean(batch) * 1e6) as u64, 1)).collect()
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
    let _ = writeln!(
        text,
        "{name} ({BATCHES} batch means, rank sum): {word} (z = {z:.2}, p = {chance:.2e}, level {LEVEL})"
    );
    significant && z > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::{LatencyHistogram, Tally};
    use crate::workload::{Action, Pace, Stop, Workload};
    use std::time::Duration;

    /// A run of windows with these medians in milliseconds, a tenth of whose requests failed where `failing`.
    fn run(medians: &[u64], failing: bool) -> LoadReport {
        let action: Action = "connect".parse().unwrap();
        let pace = Pace::Closed { clients: 1, ramp_up: Duration::ZERO, think: Duration::ZERO };
        let workload = Workload::new(1, pace, Stop::default(), action);
        let lag = LatencyHistogram::default();
        let mut report = LoadReport::new(&workload, &Tally::default(), &lag, Duration::from_secs(10), 0);
        let window = |median: &u64| Window {
            ok: 900,
            errors: if failing { 100 } else { 0 },
            latency: [median * 1000; 4],
            ..Window::default()
        };
        report.series = medians.iter().map(window).collect();
        report
    }

    #[test]
    fn windows_are_compared_and_too_few_are_not() {
        // One slow window is one sample, however many requests were in it.
        let even: Vec<_> = (0..20).map(|n| 10 + n % 3).collect();
        let bump: Vec<_> = (0..20).map(|n| if n == 7 { 500 } else { 10 + n % 3 }).collect();
        let slower: Vec<_> = (0..20).map(|n| 20 + n % 3).collect();
        let judged = |before: &[u64], after: &[u64]| compare(&run(before, false), &run(after, false)).1;
        assert_eq!(judged(&even, &bump), Finding::Kept);
        assert_eq!((judged(&even, &slower), judged(&slower, &even)), (Finding::Missed, Finding::Kept));
        assert_eq!(judged(&even, &slower[..9]), Finding::NotJudgeable);
        assert_eq!(compare(&run(&even, false), &run(&even, true)).1, Finding::Missed);
    }
}
