//! Writes the report as one HTML page that needs nothing else.

use std::fmt::Write;

pub use super::escape::escape;
use super::load_report::LoadReport;
use super::plot::{Axis, Line, most, plot};
use super::window::Window;

/// Renders the whole report.
pub fn render(report: &LoadReport) -> String {
    let mut page = String::from(concat!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>loadgen report</title><style>",
        "body{font:15px/1.45 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#1e293b}",
        "pre{background:#f1f5f9;padding:1em;overflow:auto}svg{width:100%;height:auto}svg text{font-size:11px;fill:#475569}",
        "h2{font-size:1.1em;margin-top:2em}</style><h1>loadgen</h1>"
    ));
    // Writing to a String can't fail.
    let _ = write!(page, "<pre>{}</pre>", escape(&super::text::render(report)));
    if report.series.len() > 1 {
        let end = report.series.iter().map(|window| window.at + window.span).fold(0.0, f64::max);
        let over_time =
            |title: &str, lines: &[Line], up: Axis| plot(title, lines, &Axis::linear(end), &up, report.fault);
        let latency: Vec<_> = ["p50", "p90", "p99", "max"]
            .iter()
            .enumerate()
            .map(|(at, name)| line(report, name, &|window| window.latency[at] as f64 / 1000.0))
            .collect();
        page += &over_time("Latency over time (ms, from the intended start)", &latency, Axis::log(&latency));
        let per_second = |count: u64, window: &Window| count as f64 / window.span.max(1e-9);
        let rate = [
            line(report, "ok", &|window| per_second(window.ok, window)),
            line(report, "errors", &|window| per_second(window.errors, window)),
        ];
        page += &over_time("Requests in a second", &rate, Axis::linear(most(&rate)));
        let mut names: Vec<_> = report.series.iter().flat_map(|window| window.shares.keys()).collect();
        names.sort();
        names.dedup();
        let share = |name: &str, window: &Window| {
            let sum: u64 = window.shares.values().sum();
            window.shares.get(name).map_or(0.0, |count| *count as f64 * 100.0 / sum.max(1) as f64)
        };
        let shares: Vec<_> = names.iter().map(|name| line(report, name, &|window| share(name, window))).collect();
        if !shares.is_empty() {
            page += &over_time("Share by upstream (%)", &shares, Axis::linear(100.0));
        }
    }
    let curves: Vec<_> = ["corrected", "uncorrected"].iter().map(|name| curve(report, name)).collect();
    let nines = curves.iter().flat_map(|line| &line.points).map(|(x, _)| *x).fold(1.0, f64::max);
    page += &plot("Latency by percentile (ms)", &curves, &Axis::Nines { most: nines }, &Axis::log(&curves), None);
    page.push_str("</html>\n");
    page
}

/// A level for each window of the run, from its begin to its end.
fn line(report: &LoadReport, name: &str, value: &dyn Fn(&Window) -> f64) -> Line {
    let level = |window: &Window| [window.at, window.at + window.span].map(|at| (at, value(window)));
    Line { name: name.to_owned(), points: report.series.iter().flat_map(level).collect() }
}

/// Nines on the horizontal axis, so that the tail is seen.
fn curve(report: &LoadReport, name: &str) -> Line {
    let latency = report.latency(name);
    let (mut below, mut points) = (0, Vec::new());
    for (micros, count) in &latency.recorded {
        below += count;
        let above = (latency.count - below) as f64 / latency.count as f64;
        if (0.0..=0.5).contains(&above) && below < latency.count {
            let nines = if above > 0.1 { (0.5 - above) / 0.4 } else { -above.log10() };
            points.push((nines, *micros as f64 / 1000.0));
        }
    }
    Line { name: name.to_owned(), points }
}
