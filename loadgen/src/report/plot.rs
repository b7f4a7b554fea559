//! Draws plots as SVG, for an HTML page.

use std::fmt::Write;

use super::escape::escape;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 70.0;
const COLOURS: [&str; 6] = ["#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#475569"];

/// A curve with its name.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// The highest value of all curves.
pub(super) fn most(lines: &[Line]) -> f64 {
    lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y).fold(0.0, f64::max)
}

/// Where values stand on a plot, and what is written beside it.
pub(super) enum Axis {
    /// From 0 on.
    Linear { most: f64, step: f64 },
    /// Between these powers of ten.
    Log { least: i32, most: i32 },
    /// 0 is the median, 1 is 90 %, 2 is 99 %.
    Nines { most: f64 },
}

impl Axis {
    pub(super) fn linear(most: f64) -> Self {
        let most = most.max(1e-3);
        let rough = most / 4.0;
        let ten = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * ten).into_iter().find(|step| *step >= rough);
        Axis::Linear { most, step: step.unwrap_or(rough) }
    }

    pub(super) fn log(lines: &[Line]) -> Self {
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

/// Draws `lines` over `across`, with the time of the fault shaded.
pub(super) fn plot(title: &str, lines: &[Line], across: &Axis, up: &Axis, fault: Option<(f64, Option<f64>)>) -> String {
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
