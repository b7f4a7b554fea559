//! Values that are written as loadgen's command line writes them, read by its own parsers.

use std::borrow::Cow;
use std::fmt;

use loadgen::{Action, ActionShare, Stage, User, quantity};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value as Json};

use super::span;

/// How a value is written as a text.
pub trait Notation: Sized {
    /// Its name in the schema's `format`.
    const FORMAT: &'static str;
    /// Some of it.
    const EXAMPLES: &'static [&'static str];

    /// The value that `text` stands for.
    ///
    /// # Errors
    /// A sentence that says what was read and what was expected.
    fn read(text: &str) -> Result<Self, String>;
}

/// A value and the text it was read from. `Debug` shows the value only: the text may hold a password.
#[derive(Clone)]
pub struct Written<T> {
    text: String,
    value: T,
}

impl<T> Written<T> {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it stands for.
    pub fn value(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Written<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, T: Notation> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let value = T::read(&text).map_err(serde::de::Error::custom)?;
        Ok(Written { text, value })
    }
}

impl<T: Notation> JsonSchema for Written<T> {
    fn schema_name() -> Cow<'static, str> {
        T::FORMAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": T::FORMAT, "examples": T::EXAMPLES })
    }
}

/// An action with its share of a mix.
#[derive(Clone, Debug)]
pub struct Shared {
    /// How often, as against the others.
    pub share: u32,
    /// What is done.
    pub action: Action,
}

impl Notation for Shared {
    const FORMAT: &'static str = "action";
    const EXAMPLES: &'static [&'static str] = &["echo:rounds=2,bytes=1k,early", "3*http:bytes=10k"];

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(|ActionShare { share, action }| Shared { share, action })
    }
}

/// Stages of an open loop.
#[derive(Clone, Debug)]
pub struct Stages(pub Vec<Stage>);

impl Notation for Stages {
    const FORMAT: &'static str = "stages";
    const EXAMPLES: &'static [&'static str] = &["100x10s,100..500x30s"];

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(|loadgen::Stages(stages)| Stages(stages))
    }
}

impl Notation for User {
    const FORMAT: &'static str = "user";
    const EXAMPLES: &'static [&'static str] = &["alice:correct-horse"];

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

/// Requests in a second: a number with up to three decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u64);

const RATE: &str = "rate";

impl Rate {
    /// In thousandths of requests in a second.
    pub const fn thousandths(self) -> u64 {
        self.0
    }

    fn read(number: &Number) -> Result<Self, String> {
        quantity::rate(&number.to_string()).map(Rate)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1000) {
            serializer.serialize_u64(self.0 / 1000)
        } else {
            serializer.serialize_f64(self.0 as f64 / 1000.0)
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Rate::read(&Number::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        RATE.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "format": RATE, "examples": [10, 0.5] })
    }
}

/// What is wrong with `json` as a value of the schema's `format`.
pub(super) fn misread(format: &str, json: &Json) -> Option<String> {
    fn of<T: Notation>(text: &str) -> Option<String> {
        T::read(text).err()
    }
    match (format, json) {
        (span::FORMAT, Json::String(text)) => span::read(text).err(),
        (Shared::FORMAT, Json::String(text)) => of::<Shared>(text),
        (Stages::FORMAT, Json::String(text)) => of::<Stages>(text),
        (User::FORMAT, Json::String(text)) => of::<User>(text),
        (RATE, Json::Number(number)) => Rate::read(number).err(),
        _ => None,
    }
}
