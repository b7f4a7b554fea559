//! Draws the picture as SVG.

use std::fmt::Write;

use loadgen::report::html::escape;

use super::clustering::{self, Column, Group};
use super::picture::{Lane, Mark, Picture, Spell, Tone, Wrong, clock};
use super::scale::Scale;

const WIDTH: f64 = 1400.0;
/// The left and right edges of the lanes. The names of hosts are left of them.
const LEFT: f64 = 124.0;
const RIGHT: f64 = 1384.0;
/// The heights of the axis, of a lane's flags, of a band, of a bar, of a histogram, and of an upstream's journal; and the space between.
const AXIS: f64 = 40.0;
const FLAGS: f64 = 17.0;
const BAND: f64 = 13.0;
const BAR: f64 = 7.0;
const HISTOGRAM: f64 = 46.0;
const WRITTEN: f64 = 8.0;
const PADDING: f64 = 5.0;
/// The height of a host's name and the count below it.
const NAME: f64 = 33.0;
/// The width of a letter in the small print, roughly.
const LETTER: f64 = 5.4;
/// The width of a histogram's column, and the distances below which marks and flags are drawn as one.
const COLUMN: f64 = 3.0;
const APART: f64 = 4.0;
const FLAGS_APART: f64 = 9.0;

/// Draws `picture` as SVG, which needs nothing but the page's style sheet.
pub(super) fn svg(picture: &Picture, name: &str) -> String {
    let scale = Scale::new(LEFT, RIGHT - LEFT, picture.healed(), picture.end);
    let (mut grounds, mut lanes) = (String::new(), String::new());
    let mut y = AXIS;
    for (index, lane) in picture.lanes.iter().enumerate() {
        let top = y;
        y = Drawing { out: &mut lanes, scale: &scale }.lane(lane, top);
        if index % 2 == 1 {
            Drawing { out: &mut grounds, scale: &scale }.rect("odd", (0.0, WIDTH), (top, y - top), "");
        }
    }
    let height = y + 24.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"group\" \
         aria-label=\"Timeline of {}\">\n",
        escape(name)
    );
    out.push_str(&grounds);
    let mut drawing = Drawing { out: &mut out, scale: &scale };
    drawing.phases(picture, y);
    // Shades are drawn first, then ticks, then the lanes on top of both.
    drawing.grid(y);
    out.push_str(&lanes);
    out.push_str("</svg>\n");
    out
}

struct Drawing<'a> {
    out: &'a mut String,
    scale: &'a Scale,
}

impl Drawing<'_> {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string can't fail.
        let _ = self.out.write_fmt(text);
        self.out.push('\n');
    }

    fn rect(&mut self, class: &str, (x, until): (f64, f64), (y, height): (f64, f64), title: &str) {
        let width = (until - x).max(clustering::LEAST);
        let shape =
            format!("<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
        if title.is_empty() {
            self.put(format_args!("{shape}/>"));
        } else {
            self.put(format_args!("{shape}><title>{}</title></rect>", lines(title)));
        }
    }

    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        self.put(format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(text)));
    }

    fn line(&mut self, class: &str, x: f64, (y1, y2): (f64, f64)) {
        self.put(format_args!("<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y1:.1}\" y2=\"{y2:.1}\"/>"));
    }

    fn phases(&mut self, picture: &Picture, bottom: f64) {
        for (place, (at, name)) in picture.phases.iter().enumerate() {
            let until = picture.phases.get(place + 1).map_or(picture.end, |(next, _)| *next);
            let (from, to) = (self.scale.x(*at), self.scale.x(until));
            let title = format!("{name}: {} to {}", clock(*at), clock(until));
            self.rect(&format!("phase {name}"), (from, to), (0.0, bottom), &title);
            if to - from > name.len() as f64 * LETTER {
                self.text("phase-name", from + 4.0, 11.0, name);
            }
        }
        if self.scale.is_bent() {
            let x = self.scale.x(picture.healed());
            self.line("bend", x, (0.0, bottom + 6.0));
            self.text("small", x + 4.0, bottom + 22.0, "\u{2192} another scale");
        }
    }

    fn grid(&mut self, bottom: f64) {
        for (at, label) in self.scale.ticks() {
            let x = self.scale.x(at);
            self.line("tick", x, (AXIS - 6.0, bottom));
            self.text("tick-label", x, AXIS - 10.0, &label);
            self.text("tick-label", x, bottom + 12.0, &label);
        }
    }

    /// Draws `lane` from `top` on, and returns where the next lane begins.
    fn lane(&mut self, lane: &Lane, top: f64) -> f64 {
        let bands = clustering::joined(self.scale, &lane.bands, 1.0);
        let (rows, strips) = clustering::rows(self.scale, &bands, usize::MAX, 0.5).unwrap_or_default();
        let bars = (lane.bars.len() <= clustering::BARS)
            .then(|| clustering::rows(self.scale, &lane.bars, clustering::ROWS, 0.4))
            .flatten();
        let head = if lane.marks.is_empty() && lane.wrong.is_empty() { PADDING } else { FLAGS };
        let bars_top = top + head + strips as f64 * BAND;
        let bars_height = match &bars {
            Some((_, rows)) => (*rows as f64 * BAR).max(2.0 * BAR),
            None => HISTOGRAM,
        };
        let written = if lane.written.is_empty() { 0.0 } else { WRITTEN };
        let bottom = (bars_top + bars_height + written + PADDING).max(top + NAME);

        self.put(format_args!("<g class=\"lane\">"));
        self.text("host", LEFT - 10.0, top + 15.0, &lane.host);
        if !lane.bars.is_empty() {
            let failed = lane.bars.iter().filter(|bar| bar.tone == Tone::Failed).count();
            let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
            self.text("count", LEFT - 10.0, top + 27.0, &format!("{}{failed}", lane.bars.len()));
        }
        self.bands(&bands, &rows, top + head, bottom);
        match bars {
            Some((rows, _)) => self.bars(&lane.bars, &rows, bars_top),
            None => self.histogram(&lane.bars, bars_top),
        }
        self.written(&lane.written, bars_top + bars_height + 1.0);
        self.marks(&lane.marks, top, bottom);
        self.wrong(&lane.wrong, top, bottom);
        self.put(format_args!(
            "<line class=\"edge\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{bottom:.1}\" y2=\"{bottom:.1}\"/></g>"
        ));
        bottom
    }

    fn bands(&mut self, bands: &[Spell], rows: &[usize], top: f64, bottom: f64) {
        for (band, row) in bands.iter().zip(rows) {
            let (from, until) = (self.scale.x(band.from), self.scale.x(band.until));
            let y = top + *row as f64 * BAND;
            let class = band.tone.class();
            let title = format!("{}, {} to {}\n{}", band.label, clock(band.from), clock(band.until), band.text);
            self.rect(&format!("tint {class}"), (from, until), (y, bottom - y), &title);
            self.rect(&format!("band {class}"), (from, until), (y, BAND - 1.5), &title);
            let room = ((until - from - 4.0) / LETTER).max(0.0) as usize;
            if band.label.chars().count() <= room {
                self.text("band-label", from + 3.0, y + 9.0, &band.label);
            }
        }
    }

    fn bars(&mut self, bars: &[Spell], rows: &[usize], top: f64) {
        for (bar, row) in bars.iter().zip(rows) {
            let x = (self.scale.x(bar.from), self.scale.x(bar.until));
            let y = top + *row as f64 * BAR;
            let title = format!("{}\n{} to {}", bar.text, clock(bar.from), clock(bar.until));
            self.rect(bar.tone.class(), x, (y, BAR - 1.0), &title);
        }
    }

    /// Draws spells that are too many to be told apart as a histogram. The worst tone is at the bottom.
    fn histogram(&mut self, bars: &[Spell], top: f64) {
        let columns = clustering::columns(self.scale, bars, (LEFT, RIGHT), COLUMN);
        let peak = columns.iter().map(Column::count).max().unwrap_or(1).max(1);
        for column in &columns {
            let counts: Vec<String> =
                column.counts.iter().map(|(tone, count)| format!("{count} {}", tone.class())).collect();
            let (from, until) = column.x;
            let (begun, ended) = (clock(self.scale.time(from)), clock(self.scale.time(until)));
            let mut title = format!("{begun} to {ended}\n{} under way: {}", column.count(), counts.join(", "));
            for text in &column.texts {
                title.push_str(&format!("\n{text}"));
            }
            let mut y = top + HISTOGRAM;
            for (tone, count) in &column.counts {
                let height = (HISTOGRAM * *count as f64 / peak as f64).max(1.5).min(y - top);
                y -= height;
                self.rect(tone.class(), (from, until), (y, height), &title);
            }
        }
        self.text("count", LEFT - 10.0, top + HISTOGRAM, &format!("at most {peak} at once"));
    }

    fn written(&mut self, written: &[Mark], y: f64) {
        let x = |mark: &Mark| self.scale.x(mark.at);
        // Faults come first, because readers look for them.
        let rank = |mark: &Mark| (mark.tone != Tone::Fault, mark.tone);
        for group in clustering::groups(written, COLUMN / 2.0, x, rank, |mark| &mark.text) {
            let x = group.x;
            let title = format!("{}\n{}", clock(group.first.at), group.text());
            self.rect(&format!("written {}", group.first.tone.class()), (x, x), (y, WRITTEN - 2.0), &title);
        }
    }

    fn marks(&mut self, marks: &[Mark], top: f64, bottom: f64) {
        for probes in [true, false] {
            let (probe, other): (Vec<&Mark>, Vec<&Mark>) = marks.iter().partition(|mark| mark.tone == Tone::Probe);
            let chosen = if probes { probe } else { other };
            let apart = if probes { APART } else { FLAGS_APART };
            let x = |mark: &&Mark| self.scale.x(mark.at);
            let groups = clustering::groups(&chosen, apart, x, |mark| mark.tone, |mark| &mark.text);
            for (place, group) in groups.iter().enumerate() {
                let next = groups.get(place + 1).map_or(RIGHT, |next| next.x);
                self.mark(group, next, (top, bottom), probes);
            }
        }
    }

    fn mark(&mut self, group: &Group<'_, &Mark>, next: f64, (top, bottom): (f64, f64), probe: bool) {
        let (x, mark) = (group.x, group.first);
        let class = mark.tone.class();
        let title = lines(&format!("{}\n{}", clock(mark.at), group.text()));
        if probe {
            let y = bottom - 5.0;
            self.put(format_args!(
                "<path class=\"{class}\" d=\"M{x:.1} {y:.1}l3 4h-6z\"><title>{title}</title></path>"
            ));
            return;
        }
        self.line(&format!("pole {class}"), x, (top + 2.0, bottom));
        let y = top + 2.0;
        self.put(format_args!("<path class=\"{class}\" d=\"M{x:.1} {y:.1}l8 4l-8 4z\"><title>{title}</title></path>"));
        let times = if group.count > 1 { format!(" \u{d7}{}", group.count) } else { String::new() };
        let label = format!("{}{times}", mark.label);
        let room = ((next - x - 12.0) / LETTER).max(0.0) as usize;
        if label.chars().count() <= room {
            self.text("small", x + 10.0, top + 10.0, &label);
        }
    }

    fn wrong(&mut self, wrong: &[Wrong], top: f64, bottom: f64) {
        let x = |wrong: &Wrong| self.scale.x(wrong.at);
        for group in clustering::groups(wrong, 2.0 * FLAGS_APART, x, |wrong| wrong.number, |wrong| &wrong.text) {
            let (x, number) = (group.x, group.first.number);
            self.line("pole wrong", x, (top, bottom));
            let y = top + 8.0;
            let title = lines(&format!("{}\n{}", clock(group.first.at), group.text()));
            self.put(format_args!(
                "<a href=\"#wrong-{number}\"><circle class=\"wrong\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\">\
                 <title>{title}</title>\
                 </circle><text class=\"number\" x=\"{x:.1}\" y=\"{:.1}\">{number}</text></a>",
                y + 3.3
            ));
        }
    }
}

/// Escapes the text of a title, and keeps its line breaks.
fn lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}
