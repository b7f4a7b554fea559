//! Some values are written as on loadgen's command line, and loadgen's own parsers read them.

use std::borrow::Cow;
use std::fmt;

use loadgen::{ActionShare, Stages, User};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a value is written as a text.
pub trait Notation: Sized {
    /// The `format` of its JSON Schema.
    const FORMAT: &'static str;
    /// Examples for the schema.
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
    /// The text that was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value that the text stands for.
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

impl Notation for ActionShare {
    const FORMAT: &'static str = "action";
    const EXAMPLES: &'static [&'static str] = &["echo:rounds=2,bytes=1k,early", "3*http:bytes=10k"];

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl Notation for Stages {
    const FORMAT: &'static str = "stages";
    const EXAMPLES: &'static [&'static str] = &["100x10s,100..500x30s"];

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl Notation for User {
    const FORMAT: &'static str = "user";
    const EXAMPLES: &'static [&'static str] = &["alice:correct-horse"];

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
}
