//! Writes log lines as tracing's own formats do, by hand: a line for each request has to cost little.
//!
//! Text: `2026-11-26T21:46:45.785893Z  INFO request status=200 end="closed"`. JSON: one flat object, the message among
//! its fields.

mod access;

use std::cell::RefCell;
use std::fmt::{self, Debug, Write};
use std::time::UNIX_EPOCH;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{AccessFormat, LogFormat};
use crate::env::os::wall;
use access::Values;

/// The name in tracing of the event that tells of a request which is over.
pub(super) const FINISHED: &str = "finished";

/// How a line is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LineFormat {
    pub(super) shape: LogFormat,
    pub(super) framing: Framing,
    /// That of a request which is over, where it has one of its own.
    pub(super) access: Option<AccessFormat>,
}

/// What stands around a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A line break behind it.
    Line,
    /// In front of it, what a syslog daemon reads of a program on its own machine (RFC 3164 without the time and the host, both
    /// of which it knows): priority, name and process id. Behind it NUL, where one message ends and the next one begins.
    Syslog,
}

impl Framing {
    /// What ends a line.
    pub(super) const fn end(self) -> u8 {
        match self {
            Framing::Line => b'\n',
            Framing::Syslog => 0,
        }
    }
}

/// The facility `daemon` of syslog, and the severity of a level.
fn priority(level: Level) -> u8 {
    const DAEMON: u8 = 3 << 3;
    DAEMON
        + match level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        }
}

/// What each thread keeps for its next line.
struct Scratch {
    line: String,
    /// The second that `stamp` tells, in Unix time.
    second: u64,
    /// `2026-11-26T21:46:45.`
    stamp: String,
    values: Values,
}

impl Scratch {
    const fn new() -> Self {
        Scratch { line: String::new(), second: u64::MAX, stamp: String::new(), values: Values::new() }
    }

    /// Makes `stamp` that of `second`.
    fn set_second(&mut self, second: u64) {
        if self.second != second {
            self.second = second;
            self.stamp = stamp(second);
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.line.clear();
            let metadata = event.metadata();
            self.begin(scratch, metadata.level());
            match self.access.as_ref().filter(|_| metadata.name() == FINISHED) {
                Some(format) => tell_in(format, scratch, event),
                None => {
                    self.lead(scratch, now(), metadata.level());
                    event.record(&mut Line { text: &mut scratch.line, format: self.shape, has_fields: false });
                    if self.shape == LogFormat::Json {
                        scratch.line.push('}');
                    }
                }
            }
            scratch.line.push(char::from(self.framing.end()));
            writer.write_str(&scratch.line)
        })
    }
}

/// Writes a whole number, in fewer instructions than `core::fmt` takes.
fn push_number(text: &mut String, value: u64) {
    let (mut digits, mut at, mut rest) = ([0; 20], 20, value);
    while at == 20 || rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    text.extend(digits[at..].iter().map(|&digit| char::from(digit)));
}

/// Writes a number that has no more than three places behind the point, as all times in milliseconds have, just as `{:?}` does;
/// `false` for any other one. A line has half a dozen of them, and the shortest digits of any number take long to find.
fn push_thousandths(text: &mut String, value: f64) -> bool {
    let thousandths = (value * 1e3).round();
    if !value.is_sign_positive() || thousandths >= 1e15 || thousandths / 1e3 != value {
        return false;
    }
    let (whole, rest) = (thousandths as u64 / 1000, thousandths as u64 % 1000);
    push_number(text, whole);
    let digits = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| char::from(b'0' + digit as u8));
    let places = if rest % 100 == 0 {
        1
    } else if rest % 10 == 0 {
        2
    } else {
        3
    };
    text.push('.');
    text.extend(&digits[..places]);
    true
}

/// Tells of a request in a format of its own. Apart, since what a line without one costs is counted (BENCHMARKS.md).
#[cold]
#[inline(never)]
fn tell_in(format: &AccessFormat, scratch: &mut Scratch, event: &Event<'_>) {
    let (second, micros) = now();
    scratch.set_second(second);
    let Scratch { line, stamp, values, .. } = scratch;
    values.clear();
    values.add("timestamp", format_args!("{stamp}{micros:06}Z"));
    event.record(values);
    values.write(format, line);
}

/// Seconds of Unix time, and microseconds.
fn now() -> (u64, u32) {
    let since = wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_micros())
}

impl LineFormat {
    /// What a line begins with, whatever it says.
    fn begin(&self, scratch: &mut Scratch, level: &Level) {
        if self.framing == Framing::Syslog {
            // Writing to a string does not fail.
            let _ = write!(scratch.line, "<{}>netdrift[{}]: ", priority(*level), std::process::id());
        }
    }

    /// What leads a line's fields.
    fn lead(&self, scratch: &mut Scratch, (second, micros): (u64, u32), level: &Level) {
        scratch.set_second(second);
        let line = &mut scratch.line;
        if self.shape == LogFormat::Json {
            line.push_str("{\"timestamp\":\"");
        }
        line.push_str(&scratch.stamp);
        let mut unit = 100_000;
        while unit > 0 {
            line.push(char::from(b'0' + (micros / unit % 10) as u8));
            unit /= 10;
        }
        match self.shape {
            LogFormat::Json => line.extend(["Z\",\"level\":\"", level.as_str(), "\""]),
            LogFormat::Text => {
                let pad = if level.as_str().len() < 5 { "Z  " } else { "Z " };
                line.extend([pad, level.as_str(), " "]);
            }
        }
    }
}

/// A second of Unix time up to the point before its fraction.
pub(super) fn stamp(second: u64) -> String {
    let (days, of_day) = (second / 86_400, second % 86_400);
    // Eras of 400 years that begin in March, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.")
}

/// A line while its fields are written.
struct Line<'a> {
    text: &'a mut String,
    format: LogFormat,
    has_fields: bool,
}

impl Line<'_> {
    /// Writes what stands in front of a value. Tells whether the value is the message of a text, which stands bare.
    fn name(&mut self, field: &Field) -> bool {
        let bare = self.format == LogFormat::Text && field.name() == "message";
        match self.format {
            LogFormat::Json => self.text.extend([",\"", field.name(), "\":"]),
            LogFormat::Text => {
                if self.has_fields {
                    self.text.push(' ');
                }
                if !bare {
                    self.text.extend([field.name(), "="]);
                }
            }
        }
        self.has_fields = true;
        bare
    }

    fn write(&mut self, value: fmt::Arguments<'_>) {
        // A string takes whatever is written, so only a value's own formatting can fail; the line goes on without it.
        let _ = self.text.write_fmt(value);
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if self.name(field) {
            let _ = Shown(self.text).write_str(value);
        } else if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            // In either format nothing in it is escaped.
            self.text.extend(["\"", value, "\""]);
        } else if self.format == LogFormat::Json {
            self.text.push('"');
            let _ = Escaped(self.text).write_str(value);
            self.text.push('"');
        } else {
            self.write(format_args!("{value:?}"));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        push_number(self.text, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field);
        self.write(format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        self.text.push_str(if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field);
        if push_thousandths(self.text, value) {
            return;
        }
        // JSON has no word for what is no number.
        match value.is_finite() || self.format == LogFormat::Text {
            true => self.write(format_args!("{value:?}")),
            false => self.text.push_str("null"),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.name(field) {
            let _ = write!(Shown(self.text), "{value:?}");
        } else if self.format == LogFormat::Json {
            self.text.push('"');
            let _ = write!(Escaped(self.text), "{value:?}");
            self.text.push('"');
        } else {
            self.write(format_args!("{value:?}"));
        }
    }
}

/// Writes the inside of a JSON string.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            match char {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                '\u{8}' => self.0.push_str("\\b"),
                '\u{c}' => self.0.push_str("\\f"),
                '\0'..'\u{20}' => write!(self.0, "\\u{:04x}", u32::from(char))?,
                _ => self.0.push(char),
            }
        }
        Ok(())
    }
}

/// Writes a message such that nothing in it commands the terminal that shows it.
struct Shown<'a>(&'a mut String);

impl Write for Shown<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            match char {
                '\0' | '\x1b' | '\x07' | '\x08' | '\x0c' | '\x7f' => write!(self.0, "\\x{:02x}", u32::from(char))?,
                '\u{80}'..='\u{9f}' => write!(self.0, "\\u{{{:x}}}", u32::from(char))?,
                _ => self.0.push(char),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{Dispatch, dispatcher, error, info, trace, warn};
    use tracing_subscriber::fmt::MakeWriter;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn lines_of(shape: LogFormat) -> LineFormat {
        LineFormat { shape, framing: Framing::Line, access: None }
    }

    proptest! {
        #[test]
        fn times_are_written_as_any_number_is(thousandths in 0u64..1 << 52, other in any::<f64>()) {
            for value in [thousandths as f64 / 1e3, (thousandths % 5000) as f64 / 1e3, other, -other, 0.0, -0.0] {
                let mut text = String::new();
                if push_thousandths(&mut text, value) {
                    prop_assert_eq!(&text, &format!("{value:?}"));
                } else {
                    prop_assert!(text.is_empty());
                }
            }
            prop_assert!(push_thousandths(&mut String::new(), (thousandths % 1_000_000_000) as f64 / 1e3));
        }
    }

    #[test]
    fn syslog_is_told_how_grave_a_line_is_and_who_says_it() {
        let written = Written::default();
        let format = LineFormat { shape: LogFormat::Json, framing: Framing::Syslog, access: None };
        let builder = tracing_subscriber::fmt().with_writer(written.clone()).with_max_level(Level::TRACE);
        dispatcher::with_default(&builder.event_format(format).finish().into(), || {
            error!("a\nb\0c");
            warn!("w");
            info!("i");
            trace!("t");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let messages: Vec<&str> = text.split_terminator('\0').collect();
        let own = format!("netdrift[{}]: {{\"timestamp\":\"", std::process::id());
        assert_eq!(messages.len(), 4, "{messages:?}");
        for (message, priority) in messages.iter().zip([27, 28, 30, 31]) {
            assert!(message.starts_with(&format!("<{priority}>{own}")) && message.ends_with('}'), "{message}");
        }
    }

    fn log() {
        let odd = "a \"quoted\\ \u{1b}[31m\u{8}\u{c}\r\n\t\u{1}\u{7f} é \u{85}";
        info!(status = 200, id = %"u0", none = None::<&str>, some = Some("x"), ms = 1.5, whole = 2.0, "request");
        warn!(text = odd, shown = %odd, debug = ?odd, yes = true, no = false, minus = -7_i64, most = u64::MAX, zero = 0_u64);
        error!("{odd}: {}", 1);
        trace!(f = f64::NAN, small = 0.001, large = 123_456_789.125, big = 1_u128 << 100, "");
        info!(message = odd, event = "e");
        info!(lonely = 1);
    }

    /// Lines without their time, as `subscriber` writes them to `written`.
    fn lines(written: &Written, subscriber: impl Into<Dispatch>) -> Vec<String> {
        dispatcher::with_default(&subscriber.into(), log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let stampless = |line: &str| line.find("Z").map_or(line.to_owned(), |at| line[at..].to_owned());
        text.split_inclusive('\n').map(stampless).collect()
    }

    #[test]
    fn the_lines_are_those_of_tracing() {
        let builder = |written: &Written| {
            let builder = tracing_subscriber::fmt().with_writer(written.clone()).with_max_level(Level::TRACE);
            builder.with_ansi(false).with_target(false)
        };
        let (ours, theirs) = (Written::default(), Written::default());
        let json = builder(&ours).event_format(lines_of(LogFormat::Json)).finish();
        let expected = lines(&theirs, builder(&theirs).json().flatten_event(true).finish());
        assert_eq!(expected.len(), 6);
        assert_eq!(lines(&ours, json), expected);
        let (ours, theirs) = (Written::default(), Written::default());
        let expected = lines(&theirs, builder(&theirs).finish());
        assert_eq!(lines(&ours, builder(&ours).event_format(lines_of(LogFormat::Text)).finish()), expected);
    }

    #[test]
    fn a_line_begins_with_its_time() {
        let begun = |shape: LogFormat, at| {
            let mut scratch = Scratch::new();
            lines_of(shape).lead(&mut scratch, at, &Level::WARN);
            scratch.line
        };
        assert_eq!(begun(LogFormat::Text, (1_795_729_605, 785_093)), "2026-11-26T21:46:45.785093Z  WARN ");
        assert_eq!(begun(LogFormat::Json, (0, 7)), "{\"timestamp\":\"1970-01-01T00:00:00.000007Z\",\"level\":\"WARN\"");
    }

    #[test]
    fn every_day_is_the_one_behind_the_day_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for second in (0..400 * 366).map(|days| days * 86_400) {
            assert_eq!(stamp(second), format!("{year:04}-{month:02}-{day:02}T00:00:00."));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            day += 1;
            if day > days[month - 1] {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
