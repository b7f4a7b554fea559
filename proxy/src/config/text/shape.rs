//! Compares a JSON tree with the schema: unknown and missing fields, wrong types, numbers out of range.
//!
//! A part that doesn't fit is noted as a problem and removed, so that the rest can be read and its own problems found.
//! References (`${env:…}`) are replaced on the way. A value is only quoted where it is a number, or where the schema
//! allows nothing but a time or one of a few words; any other text could be a secret.

use serde_json::{Map, Value};

use super::interpolate::{Lookup, interpolate};
use super::json::{at_field, at_index};
use super::problem::Problems;
use super::span::Span;

/// Checks and cleans one tree.
pub(in crate::config) struct Shape<'a> {
    /// What the tree may refer to.
    pub(in crate::config) lookup: &'a dyn Lookup,
    /// Files that it did refer to.
    /// What didn't fit.
    pub(in crate::config) problems: &'a mut Problems,
    /// Where we are.
    pub(in crate::config) path: String,
}

impl Shape<'_> {
    /// Makes `value` fit `schema`; false where it has to be taken out as a whole.
    pub(in crate::config) fn fit(&mut self, schema: &Value, value: &mut Value) -> bool {
        let wanted = schema["type"].as_str().unwrap_or_default();
        match (wanted, value) {
            ("object", Value::Object(fields)) => self.object(schema, fields),
            ("array", Value::Array(items)) => self.array(schema, items),
            ("string", Value::String(text)) => return self.string(schema, text),
            ("boolean", Value::Bool(_)) => {}
            ("integer", Value::Number(number)) => return self.integer(schema, number),
            (_, other) => {
                // The value itself isn't shown: out of place, it may be anything, a password among it.
                self.wrong(format!("must be {} (got {})", article(schema), kind(other)));
                return false;
            }
        }
        true
    }

    fn object(&mut self, schema: &Value, fields: &mut Map<String, Value>) {
        let known = schema["properties"].as_object();
        let others = &schema["additionalProperties"];
        let mut path = std::mem::take(&mut self.path);
        fields.retain(|name, value| {
            at_field(&mut path, name, |path| {
                self.path.clone_from(path);
                match known.and_then(|known| known.get(name)) {
                    Some(field) => self.fit(field, value),
                    None if others.is_object() => self.fit(others, value),
                    None => {
                        self.wrong(unknown(name, known));
                        false
                    }
                }
            })
        });
        self.path = path;
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let mut path = self.path.clone();
            at_field(&mut path, name, |path| {
                if !fields.contains_key(name) && !self.problems.touch(path) {
                    self.problems.add(path.as_str(), "is missing");
                }
            });
        }
    }

    fn array(&mut self, schema: &Value, items: &mut [Value]) {
        let mut path = std::mem::take(&mut self.path);
        for (index, item) in items.iter_mut().enumerate() {
            at_index(&mut path, index, |path| {
                self.path.clone_from(path);
                if !self.fit(&schema["items"], item) {
                    *item = Value::Null;
                }
            });
        }
        self.path = path;
    }

    fn string(&mut self, schema: &Value, text: &mut String) -> bool {
        match interpolate(text, self.lookup) {
            Ok(value) => *text = value,
            Err(what) => {
                self.wrong(what);
                return false;
            }
        }
        let fault = if schema["format"] == Span::FORMAT {
            fault_of_span(schema, text)
        } else if let Some(allowed) =
            schema["enum"].as_array().filter(|allowed| !allowed.contains(&text.as_str().into()))
        {
            let allowed = allowed.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
            Some(format!("must be {allowed}"))
        } else {
            None
        };
        if let Some(fault) = &fault {
            self.wrong(format!("{fault} (got {})", shown(text)));
        }
        fault.is_none()
    }

    fn integer(&mut self, schema: &Value, number: &serde_json::Number) -> bool {
        let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
        let most = schema["maximum"].as_i64().unwrap_or(i64::MAX);
        // What doesn't fit into 64 bits is a fraction or far out of any range.
        let fault = match number.as_i64() {
            Some(value) if value < least => format!("must be {least} or more"),
            Some(value) if value > most => format!("must be {most} or less"),
            Some(_) => return true,
            None => format!("must be a whole number from {least} to {most}"),
        };
        self.wrong(format!("{fault} (got {number})"));
        false
    }

    fn wrong(&mut self, what: String) {
        self.problems.add(self.path.as_str(), what);
    }
}

fn fault_of_span(schema: &Value, text: &str) -> Option<String> {
    let bound = |name: &str| schema[name].as_str().and_then(Span::read);
    match (Span::read(text), bound("x-minimum"), bound("x-maximum")) {
        (None, ..) => Some("must be a time with a unit, such as \"250ms\", \"5s\", \"15m\" or \"1h\"".to_owned()),
        (Some(span), Some(least), _) if span < least => Some(format!("must be {least} or more")),
        (Some(span), _, Some(most)) if span > most => Some(format!("must be {most} or less")),
        _ => None,
    }
}

/// A value as a problem quotes it: escaped, and cut where it is long.
pub(in crate::config) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn unknown(name: &str, known: Option<&Map<String, Value>>) -> String {
    // A longer name is near no known one, and comparing megabytes would only take time.
    const LONGEST: usize = 64;
    let names = || known.into_iter().flat_map(Map::keys);
    let near = names()
        .filter(|_| name.len() <= LONGEST)
        .map(|known| (strsim::damerau_levenshtein(&name.to_ascii_lowercase(), known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3));
    match near {
        Some((_, near)) => format!("unknown field; did you mean {near:?}?"),
        None => format!("unknown field; known here: {}", names().map(String::as_str).collect::<Vec<_>>().join(", ")),
    }
}

fn article(schema: &Value) -> &'static str {
    match schema["type"].as_str().unwrap_or_default() {
        "object" => "an object",
        "array" => "a list",
        "string" if schema["format"] == Span::FORMAT => "a time in quotes, such as \"5s\"",
        "string" => "a string",
        "boolean" => "true or false",
        _ => "a whole number",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null; leave the field out for its default",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
