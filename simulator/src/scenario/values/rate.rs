//! A rate of requests is written as a number with up to three decimals.

use std::borrow::Cow;

use loadgen::quantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Number;

/// How many requests begin in a second, as a number with up to three decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u64);

/// The `format` of its JSON Schema.
pub(in crate::scenario) const FORMAT: &str = "rate";

impl Rate {
    /// In thousandths of requests in a second.
    pub const fn thousandths(self) -> u64 {
        self.0
    }

    /// Reads a number. The error says what is wrong with it.
    pub(in crate::scenario) fn read(number: &Number) -> Result<Self, String> {
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
        FORMAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "format": FORMAT, "examples": [10, 0.5] })
    }
}
