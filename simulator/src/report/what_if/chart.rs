//! Draws one day as SVG: requests, the shares of upstreams and ejections over time, on scales that all days have in common.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use loadgen::report::html::escape;

use crate::incident::Course;
use crate::report::timeline::clock;
use crate::scenario::{Piece, UpstreamState};

const WIDTH: f64 = 1000.0;
/// The edges of what is drawn. The names of rows are left of it.
const LEFT: f64 = 112.0;
const RIGHT: f64 = 990.0;
/// The heights of the rows, and the space between them.
const REQUESTS: f64 = 64.0;
const SHARES: f64 = 40.0;
const BAND: f64 = 13.0;
const SPACE: f64 = 8.0;
const AXIS: f64 = 16.0;
/// Upstreams that have a colour of their own. The others share one.
pub(super) const COLOURS: usize = 6;
/// Letters of a name that have room left of a row.
const LETTERS: usize = 17;
/// Room for half of a tick's text.
const LETTER_ROOM: f64 = 20.0;
/// The most ticks, and the seconds from one to the next.
const TICKS: u64 = 8;
const STEPS: [u64; 15] = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400];

/// What all days have in common.
pub(super) struct Frame {
    end: Duration,
    /// Requests a second where there are the most, as they are replayed.
    peak: f64,
    /// Whether some day had more requests than are replayed of it.
    thinned: bool,
    /// All upstreams that served or were out.
    pub(super) upstreams: Vec<String>,
    /// Those that were out on some day.
    out: BTreeSet<String>,
}

impl Frame {
    /// For days of that length at least.
    pub(super) fn of(length: Duration, courses: &[&Course]) -> Self {
        let turns = courses.iter().flat_map(|course| &course.turns);
        let end = turns.clone().map(|turn| turn.at.get()).chain([length]).max().unwrap_or(length);
        let end = end.max(Duration::from_secs(1));
        let out: BTreeSet<String> = turns.map(|turn| turn.upstream.clone()).collect();
        let serving = courses.iter().flat_map(|course| &course.pieces).flat_map(|piece| piece.served.keys().cloned());
        let upstreams: BTreeSet<String> = serving.chain(out.iter().cloned()).collect();
        let thinned = courses.iter().any(|course| course.one_in > 1.0);
        let mut frame = Frame { end, peak: 0.0, thinned, upstreams: upstreams.into_iter().collect(), out };
        let rates = courses.iter().flat_map(|course| {
            frame.spans(course).map(|(from, until, piece)| rate(from, until, piece) / course.one_in)
        });
        frame.peak = rates.fold(1e-9, f64::max);
        frame
    }

    /// The class of an upstream's colour.
    pub(super) fn class(&self, upstream: &str) -> String {
        let place = self.upstreams.iter().position(|name| name == upstream).unwrap_or(COLOURS);
        format!("u{}", place.min(COLOURS))
    }

    fn x(&self, at: Duration) -> f64 {
        LEFT + (RIGHT - LEFT) * (at.as_secs_f64() / self.end.as_secs_f64()).min(1.0)
    }

    /// The pieces of a day with their beginnings and ends, as far as the day goes.
    fn spans<'a>(&self, course: &'a Course) -> impl Iterator<Item = (Duration, Duration, &'a Piece)> + use<'a> {
        let (end, length) = (self.end, course.piece);
        (0_u32..).zip(&course.pieces).map_while(move |(place, piece)| {
            let from = length.checked_mul(place)?;
            (from < end).then(|| (from, (from + length).min(end), piece))
        })
    }
}

fn rate(from: Duration, until: Duration, piece: &Piece) -> f64 {
    piece.requests as f64 / (until - from).as_secs_f64().max(1e-3)
}

fn shown(at: Duration) -> String {
    clock(u64::try_from(at.as_micros()).unwrap_or(u64::MAX))
}

/// Draws a day that is called `name`.
pub(super) fn chart(frame: &Frame, course: &Course, name: &str) -> String {
    let height = REQUESTS + SHARES + 2.0 * SPACE + frame.out.len() as f64 * BAND + AXIS;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"requests, shares and ejections, {}\">\n",
        escape(name)
    );
    let shares = REQUESTS + SPACE;
    let bands = shares + SHARES + SPACE;
    row(&mut svg, REQUESTS / 2.0, "requests a second");
    row(&mut svg, REQUESTS / 2.0 + 12.0, &format!("at most {:.1}", frame.peak));
    if frame.thinned {
        row(&mut svg, REQUESTS / 2.0 + 24.0, "as replayed");
    }
    row(&mut svg, shares + SHARES / 2.0 + 3.0, "shares");
    for at in ticks(frame.end) {
        let (x, bottom) = (frame.x(at), height - AXIS);
        let anchor = if x > RIGHT - LETTER_ROOM { " style=\"text-anchor: end\"" } else { "" };
        let _ = writeln!(svg, "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{bottom:.1}\"/>");
        let (y, text) = (height - 4.0, humantime::format_duration(at));
        let _ = writeln!(svg, "<text class=\"tick-label\"{anchor} x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
    }
    for (from, until, piece) in frame.spans(course) {
        let x = (frame.x(from), frame.x(until));
        let mut title =
            format!("{} to {}: {} requests, {} failed", shown(from), shown(until), piece.requests, piece.failed);
        if course.one_in > 1.0 {
            let _ = write!(title, "; one in {:.1} is replayed", course.one_in);
        }
        let whole = REQUESTS * rate(from, until, piece) / course.one_in / frame.peak;
        let part = if piece.requests == 0 { 0.0 } else { piece.failed as f64 / piece.requests as f64 };
        let bad = if piece.failed > 0 { (whole * part).max(1.5) } else { 0.0 };
        rect(&mut svg, "good", x, (REQUESTS - whole.max(bad), whole.max(bad) - bad), &title);
        rect(&mut svg, "failed", x, (REQUESTS - bad, bad), &title);
        let served: u64 = piece.served.values().sum();
        let mut y = shares;
        for (upstream, count) in &piece.served {
            let share = *count as f64 / served.max(1) as f64;
            let title = format!("{} to {}: {upstream} served {:.1} %", shown(from), shown(until), share * 100.0);
            rect(&mut svg, &frame.class(upstream), x, (y, SHARES * share), &title);
            y += SHARES * share;
        }
    }
    for (place, upstream) in frame.out.iter().enumerate() {
        let y = bands + place as f64 * BAND;
        row(&mut svg, y + 9.0, &short(upstream));
        for (from, until) in outages(course, upstream, frame.end) {
            let title = format!("{upstream} was out from {} to {}", shown(from), shown(until));
            rect(&mut svg, "ejected", (frame.x(from), frame.x(until)), (y + 1.0, BAND - 3.0), &title);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// The times of the ticks of a day that ends at `end`.
fn ticks(end: Duration) -> impl Iterator<Item = Duration> {
    let fits = STEPS.into_iter().find(|step| end.as_secs() / step <= TICKS);
    let step = fits.unwrap_or_else(|| (end.as_secs() / TICKS / 86_400 + 1) * 86_400);
    (0..=end.as_secs() / step).map(move |tick| Duration::from_secs(tick * step))
}

/// When `upstream` was out.
fn outages(course: &Course, upstream: &str, end: Duration) -> Vec<(Duration, Duration)> {
    let (mut spans, mut out) = (Vec::new(), None);
    for turn in course.turns.iter().filter(|turn| turn.upstream == upstream) {
        match turn.to {
            UpstreamState::Ejected => out = out.or(Some(turn.at.get())),
            UpstreamState::Eligible => spans.extend(out.take().map(|from| (from, turn.at.get()))),
        }
    }
    spans.extend(out.map(|from| (from, end)));
    spans
}

fn short(name: &str) -> String {
    if name.chars().count() <= LETTERS {
        return name.to_owned();
    }
    name.chars().take(LETTERS - 1).chain(['…']).collect()
}

fn row(svg: &mut String, y: f64, text: &str) {
    let _ = writeln!(svg, "<text class=\"row\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>", LEFT - 8.0, escape(text));
}

fn rect(svg: &mut String, class: &str, (from, until): (f64, f64), (y, height): (f64, f64), title: &str) {
    if height <= 0.0 {
        return;
    }
    let width = (until - from).max(1.0);
    let _ = writeln!(
        svg,
        "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{}</title></rect>",
        escape(title)
    );
}
