//! Reads the format that an operator gives the log's line of a request: text with `%{name}` where a value goes.

use std::fmt;

use crate::config::text::schema::shown;

/// What may stand in `%{…}`: what the log calls the fields of its event `finished`, and the time of the line.
pub const ACCESS_FIELDS: &[&str] = &[
    "timestamp",
    "request",
    "client",
    "user",
    "method",
    "target",
    "status",
    "outcome",
    "blame",
    "id",
    "name",
    "upstream",
    "tag",
    "attempts",
    "failed",
    "failed_ids",
    "failed_causes",
    "cause",
    "bytes_up",
    "bytes_down",
    "lookup_ms",
    "tcp_ms",
    "tls_ms",
    "reply_ms",
    "latency_ms",
    "duration_ms",
    "end",
];

/// A format that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessFormat {
    text: String,
    pieces: Vec<AccessPiece>,
}

/// A part of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessPiece {
    /// Text as it is.
    Text(String),
    /// A value.
    Value {
        /// Which: one of [`ACCESS_FIELDS`].
        field: &'static str,
        /// It stands between double quotes, where a space ends nothing.
        quoted: bool,
    },
}

impl AccessFormat {
    /// Reads a format. `%%` is a percent sign.
    ///
    /// # Errors
    /// It is none; the text says what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("must not be empty; leave it out for the line that logging.format has".to_owned());
        }
        if text.contains(|c: char| c.is_control() && c != '\t') {
            return Err("must be one line, without control characters but tabs".to_owned());
        }
        let (mut pieces, mut plain, mut quoted, mut rest) = (Vec::new(), String::new(), false, text);
        while let Some((before, behind)) = rest.split_once('%') {
            plain.push_str(before);
            quoted ^= before.matches('"').count() % 2 == 1;
            if let Some(behind) = behind.strip_prefix('%') {
                plain.push('%');
                rest = behind;
                continue;
            }
            let value = behind.strip_prefix('{').and_then(|name| name.split_once('}'));
            let (name, behind) =
                value.ok_or("a \"%\" begins a value, such as \"%{status}\"; a percent sign is \"%%\"")?;
            let field = ACCESS_FIELDS.iter().find(|field| **field == name).ok_or_else(|| {
                format!("there is no value {}; known here: {}", shown(name), ACCESS_FIELDS.join(", "))
            })?;
            if !plain.is_empty() {
                pieces.push(AccessPiece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(AccessPiece::Value { field, quoted });
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(AccessPiece::Text(plain));
        }
        Ok(AccessFormat { text: text.to_owned(), pieces })
    }

    /// Its parts, in order.
    pub fn pieces(&self) -> &[AccessPiece] {
        &self.pieces
    }
}

impl fmt::Display for AccessFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_values_alternate_and_quotes_are_noticed() {
        let text = |text: &str| AccessPiece::Text(text.to_owned());
        let value = |field, quoted| AccessPiece::Value { field, quoted };
        let read = |text: &str| AccessFormat::read(text).unwrap();
        let format = read("%{client} [%{timestamp}] \"%{method} %{target}\" 100%% \"%{cause}\"%{status}");
        let expected = [
            value("client", false),
            text(" ["),
            value("timestamp", false),
            text("] \""),
            value("method", true),
            text(" "),
            value("target", true),
            text("\" 100% \""),
            value("cause", true),
            text("\""),
            value("status", false),
        ];
        assert_eq!(format.pieces(), expected);
        assert_eq!(read("no value\tat all").pieces(), [text("no value\tat all")]);
        assert_eq!(read("%%{status}").pieces(), [text("%{status}")]);
    }

    #[test]
    fn what_is_no_format_is_refused_and_says_what_is_known() {
        let refused = |text: &str| AccessFormat::read(text).unwrap_err();
        for text in ["%", "100% %{status}", "%{status", "%status", "%{status} %"] {
            assert!(refused(text).contains("a percent sign is \"%%\""), "{text}");
        }
        for text in ["%{sttaus}", "%{}", "%{status }", "%{event}", "%{message}", "%{Status}"] {
            let said = refused(text);
            assert!(
                said.starts_with("there is no value \"") && said.contains("known here: timestamp, request"),
                "{said}"
            );
        }
        assert!(refused("").contains("empty"));
        for text in ["a\nb", "a\rb", "a\u{1b}[2J", "a\u{85}b"] {
            assert!(refused(text).contains("one line"), "{text:?}");
        }
    }
}
