//! One page that needs nothing else: plots as inline SVG.

use std::fmt::Write;

use super::{Report, Stretch};

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
    if report.series.len() > 1 {
        let end = report.series.iter().map(|stretch| stretch.at + stretch.span).fold(0.0, f64::max);
        let over_time =
            |title: &str, lines: &[Line], up: Axis| plot(title, lines, &Axis::linear(end), &up, report.fault);
        let latency: Vec<_> = ["p50", "p90", "p99", "max"]
            .iter()
            .enumerate()
            .map(|(at, name)| line(report, name, &|stretch| stretch.latency[at] as f64 / 1000.0))
            .collect();
        page += &over_time("Latency over time (ms, from the intended start)", &latency, Axis::log(&latency));
        let per_second = |count: u64, stretch: &Stretch| count as f64 / stretch.span.max(1e-9);
        let rate = [
            line(report, "ok", &|stretch| per_second(stretch.ok, stretch)),
            line(report, "errors", &|stretch| per_second(stretch.errors, stretch)),
        ];
        page += &over_time("Requests in a second", &rate, Axis::linear(most(&rate)));
        let mut names: Vec<_> = report.series.iter().flat_map(|stretch| stretch.shares.keys()).collect();
        names.sort();
        names.dedup();
        let share = |name: &str, stretch: &Stretch| {
            let sum: u64 = stretch.shares.values().sum();
            stretch.shares.get(name).map_or(0.0, |count| *count as f64 * 100.0 / sum.max(1) as f64)
        };
        let shares: Vec<_> = names.iter().map(|name| line(report, name, &|stretch| share(name, stretch))).collect();
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

struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// A level for each stretch of the run, from its begin to its end.
fn line(report: &Report, name: &str, value: &dyn Fn(&Stretch) -> f64) -> Line {
    let level = |stretch: &Stretch| [stretch.at, stretch.at + stretch.span].map(|at| (at, value(stretch)));
    Line { name: name.to_owned(), points: report.series.iter().flat_map(level).collect() }
}

fn most(lines: &[Line]) -> f64 {
    lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y).fold(0.0, f64::max)
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

/// Where values stand on a plot, and what is written beside it.
enum Axis {
    /// From 0 on.
    Linear { most: f64, step: f64 },
    /// Between these powers of ten.
    Log { least: i32, most: i32 },
    /// 0 is the median, 1 is 90 %, 2 is 99 %.
    Nines { most: f64 },
}

impl Axis {
    fn linear(most: f64) -> Self {
        let most = most.max(1e-3);
        let rough = most / 4.0;
        let ten = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * ten).into_iter().find(|step| *step >= rough);
        Axis::Linear { most, step: step.unwrap_or(rough) }
    }

    fn log(lines: &[Line]) -> Self {
        let values = || lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y).filter(|y| *y > 0.0);
        let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
        if most == 0.0 {
            return Axis::Log { least: 0, most: 1 };
        }
        let least = least.log10().floor() as i32;
        Axis::Log { least, most: (most.log10().ceil() as i32).max(least + 1) }
    }

    /// Where `value` stands, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let part = match self {
            Axis::Linear { most, .. } | Axis::Nines { most } => value / most,
            Axis::Log { least, most } => {
                (value.max(f64::MIN_POSITIVE).log10() - f64::from(*least)) / f64::from(most - least)
            }
        };
        part.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        match self {
            Axis::Linear { most, step } => (0..)
                .map(|n| f64::from(n) * step)
                .take_while(|at| *at <= most * 1.000_001)
                .map(|at| (at, label(at)))
                .collect(),
            Axis::Log { least, most } => {
                (*least..=*most).map(|exponent| 10f64.powi(exponent)).map(|at| (at, label(at))).collect()
            }
            Axis::Nines { most } => {
                let names = ["50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
                (0..).map(f64::from).zip(names.map(str::to_owned)).take_while(|(at, _)| at <= most).collect()
            }
        }
    }
}

fn plot(title: &str, lines: &[Line], across: &Axis, up: &Axis, fault: Option<(f64, Option<f64>)>) -> String {
    let x = |value: f64| LEFT + across.place(value) * (WIDTH - LEFT - 30.0);
    let y = |value: f64| HEIGHT - 25.0 - up.place(value) * (HEIGHT - 45.0);
    let mut svg = format!("<h2>{}</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">", escape(title));
    // Writing to a String can't fail.
    if let Some((began, ended)) = fault {
        let (from, to) = (x(began), x(ended.unwrap_or(f64::MAX)));
        let width = (to - from).max(1.0);
        let _ = write!(
            svg,
            "<rect x=\"{from:.1}\" y=\"20\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"#fee2e2\"/>\
             <text x=\"{:.1}\" y=\"32\">fault</text>",
            HEIGHT - 45.0,
            from + 4.0
        );
    }
    for (at, label) in up.ticks() {
        let at = y(at);
        let _ = write!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{WIDTH}\" stroke=\"#e2e8f0\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for (at, label) in across.ticks() {
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", x(at), HEIGHT - 8.0);
    }
    let mut legend = LEFT;
    for (at, line) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let path: Vec<_> = line.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
        let name = escape(&line.name);
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>\
             <text x=\"{legend}\" y=\"12\" style=\"fill:{colour}\">{name}</text>",
            path.join(" ")
        );
        legend += 7.0 * line.name.chars().count() as f64 + 20.0;
    }
    svg + "</svg>"
}

fn label(value: f64) -> String {
    // Steps and powers of ten: no digits but those that count.
    format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_stand_in_order() {
        let labels = |axis: &Axis| axis.ticks().into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(&Axis::linear(6.01)), ["0", "2", "4", "6"]);
        assert_eq!(labels(&Axis::linear(303.0)), ["0", "100", "200", "300"]);
        let line = Line { name: String::new(), points: vec![(0.0, 0.3), (1.0, 506.0), (2.0, 0.0)] };
        let log = Axis::log(&[line]);
        assert_eq!(labels(&log), ["0.1", "1", "10", "100", "1000"]);
        assert!((log.place(10.0) - 0.5).abs() < 1e-9 && log.place(0.0) == 0.0);
        assert_eq!(labels(&Axis::Nines { most: 2.5 }), ["50 %", "90 %", "99 %"]);
    }
}
