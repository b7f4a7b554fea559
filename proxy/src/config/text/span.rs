//! Reads and writes lengths of time: text with a unit, such as `"250ms"` or `"1h 30m"`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, written with its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// The `format` of its JSON Schema. `x-minimum` and `x-maximum` beside it bound the length.
    pub(in crate::config) const FORMAT: &'static str = "duration with unit";

    /// So many milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Span(Duration::from_millis(milliseconds))
    }

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }

    /// The length itself.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Reads `"250ms"`, `"5s"`, `"15m"`, `"1h 30m"`; a number without a unit is refused.
    pub(in crate::config) fn read(text: &str) -> Option<Span> {
        let unit_last = text.ends_with(|last: char| last.is_ascii_alphabetic());
        humantime::parse_duration(text).ok().filter(|_| unit_last).map(Span)
    }
}

impl From<Duration> for Span {
    fn from(length: Duration) -> Self {
        Span(length)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Span::read(&text).ok_or_else(|| de::Error::custom("not a time with a unit"))
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": Span::FORMAT,
            "examples": ["250ms", "5s", "15m", "1h"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_carries_a_unit_and_nothing_else() {
        assert_eq!(Span::read("250ms"), Some(Span(Duration::from_millis(250))));
        assert_eq!(Span::read("1h 30m"), Some(Span(Duration::from_secs(5400))));
        assert_eq!(Span::read("1h30m"), Some(Span(Duration::from_secs(5400))));
        for bad in ["", "5", "0", "s", "-5s", "5 parsecs", "1.5.2s", "99999999999999999999s"] {
            assert_eq!(Span::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn shows_what_it_reads() {
        for text in ["250ms", "5s", "15m", "1h 30m", "0s"] {
            assert_eq!(Span::read(text).unwrap().to_string(), text);
        }
    }
}
