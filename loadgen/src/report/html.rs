//! One page that needs nothing else: plots as inline SVG.

use std::fmt::Write;

use super::Report;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 70.0;
const COLOURS: [&str; 6] = ["#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#475569"];

/// The whole report.
pub fn render(report: &Report) -> String {
    let mut page = String::from(concat!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>loadgen report</title><style>",
        "body{font:15px/1.45 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#1e293b}",
        "pre{background:#f1f5f9;padding:1em;overflow:auto}svg{width:100%;height:auto}svg text{font-size:11px;fill:#475569}",
        "h2{font-size:1.1em;margin-top:2em}</style><h1>loadgen</h1>"
    ));
    // Writing to a String can't fail.
    let _ = write!(page, "<pre>{}</pre>", escape(&super::text::render(report)));
    let times: Vec<f64> = report.series.iter().map(|stretch| stretch.at).collect();
    let line = |name: &str, value: &dyn Fn(&super::Stretch) -> f64| Line {
        name: name.to_owned(),
        points: times.iter().copied().zip(report.series.iter().map(value)).collect(),
    };
    if times.len() > 1 {
        let latency: Vec<_> = ["p50", "p90", "p99", "max"]
            .iter()
            .enumerate()
            .map(|(at, name)| line(name, &|stretch| stretch.latency[at] as f64 / 1000.0))
            .collect();
        page += &plot("Latency over time (ms, from the intended start)", &latency, report.fault);
        let per_second = |count: u64, stretch: &super::Stretch| count as f64 / stretch.span.max(1e-9);
        let rate = [
            line("ok", &|stretch| per_second(stretch.ok, stretch)),
            line("errors", &|stretch| per_second(stretch.errors, stretch)),
        ];
        page += &plot("Requests in a second", &rate, report.fault);
        let mut names: Vec<_> = report.series.iter().flat_map(|stretch| stretch.shares.keys()).collect();
        names.sort();
        names.dedup();
        let share = |name: &str, stretch: &super::Stretch| {
            let sum: u64 = stretch.shares.values().sum();
            stretch.shares.get(name).map_or(0.0, |count| *count as f64 * 100.0 / sum.max(1) as f64)
        };
        let shares: Vec<_> = names.iter().map(|name| line(name, &|stretch| share(name, stretch))).collect();
        if !shares.is_empty() {
            page += &plot("Share by upstream (%)", &shares, report.fault);
        }
    }
    let curves: Vec<_> = ["corrected", "uncorrected"].iter().map(|name| curve(report, name)).collect();
    page += &plot("Latency (ms) by percentile: 0 is the median, 1 is 90 %, 2 is 99 %, 3 is 99.9 %", &curves, None);
    page.push_str("</html>\n");
    page
}

struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Nines on the horizontal axis, so that the tail is seen.
fn curve(report: &Report, name: &str) -> Line {
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

fn plot(title: &str, lines: &[Line], fault: Option<(f64, Option<f64>)>) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let right = all().map(|(x, _)| *x).fold(f64::MIN_POSITIVE, f64::max);
    let top = all().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| LEFT + value / right * (WIDTH - LEFT - 10.0);
    let y = |value: f64| HEIGHT - 25.0 - value / top * (HEIGHT - 45.0);
    let mut svg = format!("<h2>{}</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">", escape(title));
    // Writing to a String can't fail.
    if let Some((began, ended)) = fault {
        let (from, to) = (x(began.min(right)), x(ended.unwrap_or(right).min(right)));
        let width = (to - from).max(1.0);
        let _ = write!(svg, "<rect x=\"{from:.1}\" y=\"10\" width=\"{width:.1}\" height=\"185\" fill=\"#fee2e2\"/>");
    }
    for step in 0..=4 {
        let (across, up) = (right * f64::from(step) / 4.0, top * f64::from(step) / 4.0);
        let (gx, gy) = (x(across), y(up));
        let _ = write!(
            svg,
            "<path d=\"M{LEFT} {gy:.1}H{WIDTH}\" stroke=\"#e2e8f0\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text x=\"{gx:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            LEFT - 6.0,
            gy + 4.0,
            label(up),
            HEIGHT - 8.0,
            label(across)
        );
    }
    for (at, line) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let path: Vec<_> = line.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
        let name = escape(&line.name);
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>\
             <text x=\"{}\" y=\"12\" style=\"fill:{colour}\">{name}</text>",
            path.join(" "),
            LEFT + at as f64 * 130.0
        );
    }
    svg + "</svg>"
}

fn label(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Text as it may stand in HTML and XML, attributes included.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no way to write them.
            letter if letter.is_control() && letter != '\n' => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}
