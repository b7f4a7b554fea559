//! Writes the line of a request that is over in the format that the operator has given.
//!
//! No value can end its line or look like another value: what is no printable text, double quotes and backslashes are escaped,
//! and so are spaces outside of double quotes. A value that there is none of is a dash.

use std::fmt::{self, Debug, Write};
use std::ops::Range;

use tracing::field::{Field, Visit};

use crate::config::{AccessFormat, AccessPiece};

/// The values of one event, by their names.
#[derive(Debug)]
pub(super) struct Values {
    text: String,
    places: Vec<(&'static str, Range<usize>)>,
}

impl Values {
    /// None.
    pub(super) const fn new() -> Self {
        Values { text: String::new(), places: Vec::new() }
    }

    /// Forgets those of the event before.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.places.clear();
    }

    /// Takes a value.
    pub(super) fn add(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        let begin = self.text.len();
        // Writing to a string does not fail; where a value's own formatting does, its beginning stays.
        let _ = self.text.write_fmt(value);
        self.places.push((name, begin..self.text.len()));
    }

    fn get(&self, name: &str) -> &str {
        let place = self.places.iter().find(|(known, _)| *known == name);
        place.and_then(|(_, place)| self.text.get(place.clone())).unwrap_or_default()
    }

    /// Writes them to `line` as `format` says.
    pub(super) fn write(&self, format: &AccessFormat, line: &mut String) {
        for piece in format.pieces() {
            match piece {
                AccessPiece::Text(text) => line.push_str(text),
                AccessPiece::Value { field, quoted } => match self.get(field) {
                    "" => line.push('-'),
                    value => value.chars().for_each(|char| escape(char, *quoted, line)),
                },
            }
        }
    }
}

fn escape(char: char, quoted: bool, line: &mut String) {
    match char {
        '"' | '\\' => line.extend(['\\', char]),
        ' ' if quoted => line.push(' '),
        ' '..='~' if char != ' ' => line.push(char),
        char if char.is_alphanumeric() => line.push(char),
        // Spaces and controls of all kinds, and what moves text to another place on a screen.
        char => line.extend(char.escape_unicode()),
    }
}

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: &str, values: &[(&'static str, &str)]) -> String {
        let mut all = Values::new();
        for (name, value) in values {
            all.add(name, format_args!("{value}"));
        }
        let mut line = String::new();
        all.write(&AccessFormat::read(format).unwrap(), &mut line);
        line
    }

    #[test]
    fn values_stand_where_the_format_has_them_and_what_is_missing_is_a_dash() {
        let values = [("status", "200"), ("client", "127.0.0.1:7"), ("failed", "")];
        let format = "%{client} %{user} \"%{failed}\" %{status} 100%% %{client}";
        assert_eq!(written(format, &values), "127.0.0.1:7 - \"-\" 200 100% 127.0.0.1:7");
    }

    #[test]
    fn no_value_ends_its_line_its_quotes_or_its_column() {
        for odd in ["\n", "\r", "\0", "\u{1b}", "\u{7f}", "\u{85}", "\u{2028}", "\u{202e}", "\u{a0}", "\t"] {
            let value = format!("a{odd}b");
            let line = written("\"%{cause}\" %{cause}", &[("cause", &value)]);
            let escaped = format!("a{}b", odd.chars().next().unwrap().escape_unicode());
            assert_eq!(line, format!("\"{escaped}\" {escaped}"), "{odd:?}");
        }
        let value = "x\" 200 \\ é";
        assert_eq!(written("\"%{user}\"", &[("user", value)]), "\"x\\\" 200 \\\\ é\"");
        assert_eq!(written("%{user}", &[("user", value)]), "x\\\"\\u{20}200\\u{20}\\\\\\u{20}é");
    }
}
