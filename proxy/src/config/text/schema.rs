//! Compares a JSON tree with its schema: unknown and missing fields, wrong types, numbers out of range, unknown words.
//!
//! A part that doesn't fit is noted as a problem and removed, so that the rest can be read and its own problems found.
//! A value is only quoted where it is a number, or where the schema allows nothing but a time or one of a few words;
//! any other text could be a secret.
//!
//! The simulator reads its scenarios with this, too. The doubles don't: they may not import the proxy, and the plans of
//! faulty-upstream have no schema, because each fault declares its own settings.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Number, Value};

use super::json::join;
use super::problem::Problems;
use super::span::Span;

/// The JSON Schema of the files that `T` holds, in the few forms that [`fit`] knows.
pub fn schema_of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    // Leaving a field out is the one way to ask for its default; `null` would be a second one.
    RecursiveTransform(refuse_null).transform(&mut schema);
    schema
}

fn refuse_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(types) = object.get_mut("type")
        && let Some(name) = types.as_array().and_then(|names| names.first().cloned())
    {
        *types = name;
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Array(branches)) = object.get("anyOf")
        && let [Value::Object(branch), null] = branches.as_slice()
        && null["type"] == "null"
    {
        let branch = branch.clone();
        object.remove("anyOf");
        for (word, value) in branch {
            object.entry(word).or_insert(value);
        }
    }
}

/// What one kind of file adds to JSON Schema.
pub trait Dialect {
    /// Replaces what `text` refers to outside of the file. Most files refer to nothing.
    ///
    /// # Errors
    /// What is wrong with a reference, without any text of a value.
    fn resolve(&self, text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    /// Checks a text or a number of this `format`. Formats that it does not know allow everything.
    ///
    /// # Errors
    /// What is wrong with the value, and what to write instead.
    fn check(&self, _format: &str, _value: &Value) -> Result<(), String> {
        Ok(())
    }
}

/// Makes `value` fit `schema`, which is one of [`schema_of`]; false if nothing of it is left.
pub fn fit(schema: &Schema, dialect: &dyn Dialect, value: &mut Value, problems: &mut Problems) -> bool {
    Walk { dialect, problems }.value(schema.as_value(), value, "")
}

/// Goes through a tree and its schema side by side.
struct Walk<'a> {
    dialect: &'a dyn Dialect,
    problems: &'a mut Problems,
}

impl Walk<'_> {
    /// Makes the value at `path` fit; false where it has to be taken out as a whole.
    fn value(&mut self, schema: &Value, value: &mut Value, path: &str) -> bool {
        if let Some(tag) = tag(schema) {
            return self.tagged(tag, schema, value, path);
        }
        let fits = match (type_of(schema), &mut *value) {
            ("object", Value::Object(fields)) => self.object(&[schema], fields, path),
            ("array", Value::Array(items)) => self.array(schema, items, path),
            ("string", Value::String(text)) => self.string(schema, text, path),
            ("integer" | "number", Value::Number(number)) => self.number(schema, number, path),
            ("boolean", Value::Bool(_)) | ("anything", _) => true,
            (_, other) => {
                if let Some(branch) = branches(schema).iter().find(|branch| type_of(branch) == name_of_type(other)) {
                    return self.value(branch, other, path);
                }
                // The value itself isn't shown: out of place, it may be anything, a password among it.
                self.wrong(path, format!("must be {} (got {})", expected(schema), kind(other)))
            }
        };
        fits && schema["format"].as_str().is_none_or(|format| match self.dialect.check(format, value) {
            Ok(()) => true,
            Err(what) => self.wrong(path, what),
        })
    }

    /// Makes an object fit, whose fields the first of `schemas` and those beside it name.
    fn object(&mut self, schemas: &[&Value], fields: &mut Map<String, Value>, path: &str) -> bool {
        let known: BTreeMap<&str, &Value> = schemas
            .iter()
            .flat_map(|schema| schema["properties"].as_object())
            .flatten()
            .map(|(name, field)| (name.as_str(), field))
            .collect();
        let others = &schemas[0]["additionalProperties"];
        fields.retain(|name, value| {
            let path = join(path, name);
            match known.get(name.as_str()) {
                Some(field) => self.value(field, value, &path),
                None if others.is_object() => self.value(others, value, &path),
                None if *others == true => true,
                None => self.wrong(&path, format!("unknown field{}", hint(name, known.keys().copied()))),
            }
        });
        let required = schemas.iter().flat_map(|schema| schema["required"].as_array()).flatten();
        for name in required.filter_map(Value::as_str) {
            let path = join(path, name);
            if !fields.contains_key(name) && !self.problems.touch(&path) {
                self.problems.add(path, "is missing");
            }
        }
        true
    }

    /// Makes an object fit that has one of several shapes. The word in its field `tag` says which.
    fn tagged(&mut self, tag: &str, schema: &Value, value: &mut Value, path: &str) -> bool {
        let Value::Object(fields) = value else {
            return self.wrong(path, format!("must be an object (got {})", kind(value)));
        };
        let place = join(path, tag);
        let word = |branch: &Value| branch["properties"][tag]["const"].as_str().map(str::to_owned);
        let words: Vec<String> = branches(schema).iter().filter_map(word).collect();
        let words = words.iter().map(String::as_str);
        match fields.get(tag) {
            None => self.wrong(&place, format!("is missing{}", hint("", words))),
            Some(Value::String(given)) => match branches(schema).iter().find(|one| word(one).as_ref() == Some(given)) {
                Some(branch) => self.object(&[branch, schema], fields, path),
                None => self.wrong(&place, format!("{} is not known{}", shown(given), hint(given, words))),
            },
            Some(other) => self.wrong(&place, format!("must be a string (got {})", kind(other))),
        }
    }

    fn array(&mut self, schema: &Value, items: &mut [Value], path: &str) -> bool {
        let places = schema["prefixItems"].as_array();
        if let Some(places) = places.filter(|places| places.len() != items.len()) {
            return self.wrong(path, format!("must have {} items (got {})", places.len(), items.len()));
        }
        for (index, item) in items.iter_mut().enumerate() {
            let schema = places.map_or(&schema["items"], |places| &places[index]);
            if !self.value(schema, item, &format!("{path}[{index}]")) {
                *item = Value::Null;
            }
        }
        true
    }

    fn string(&mut self, schema: &Value, text: &mut String, path: &str) -> bool {
        match self.dialect.resolve(text) {
            Ok(value) => *text = value,
            Err(what) => return self.wrong(path, what),
        }
        let words = words(schema);
        let fault = if schema["format"] == Span::FORMAT {
            fault_of_span(schema, text)
        } else {
            let unknown = !words.is_empty() && !words.contains(&text.as_str());
            unknown.then(|| format!("must be {}", expected(schema)))
        };
        fault.is_none_or(|fault| self.wrong(path, format!("{fault} (got {})", shown(text))))
    }

    fn number(&mut self, schema: &Value, number: &Number, path: &str) -> bool {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        // schemars leaves it to the format that no more than 32 bits are read.
        let most = most.or((schema["format"] == "uint32").then_some(u32::MAX.into()));
        let value = number.as_f64().unwrap_or(f64::NAN);
        let fault = match (least, most) {
            // What doesn't fit into 64 bits is a fraction or far out of any range.
            (least, most) if schema["type"] == "integer" && number.is_f64() => match (least, most) {
                (Some(least), Some(most)) => format!("must be a whole number from {least} to {most}"),
                _ => "must be a whole number".to_owned(),
            },
            (Some(least), _) if value < least => format!("must be {least} or more"),
            (_, Some(most)) if value > most => format!("must be {most} or less"),
            _ => return true,
        };
        self.wrong(path, format!("{fault} (got {number})"))
    }

    /// Notes a problem, and says that the value does not fit.
    fn wrong(&mut self, path: &str, what: String) -> bool {
        self.problems.add(path, what);
        false
    }
}

/// The schemas of which a value must fit one.
fn branches(schema: &Value) -> &[Value] {
    let branches = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
    branches.map_or(&[], Vec::as_slice)
}

/// The field that tells the branches of `schema` apart, if they are objects with such a field.
fn tag(schema: &Value) -> Option<&str> {
    let fields = branches(schema).first()?["properties"].as_object()?;
    fields.iter().find(|(_, field)| field.get("const").is_some()).map(|(name, _)| name.as_str())
}

/// The words of which a text must be one; none where it may be any text.
fn words(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().map_or(&[][..], Vec::as_slice).iter();
    listed.chain(branches(schema).iter().map(|branch| &branch["const"])).filter_map(Value::as_str).collect()
}

/// The type that a value must have, as a schema names it; "one of them" where each branch has its own.
fn type_of(schema: &Value) -> &str {
    match schema["type"].as_str() {
        Some(name) => name,
        None if !words(schema).is_empty() => "string",
        None if branches(schema).is_empty() => "anything",
        None => "one of them",
    }
}

fn name_of_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
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

/// The end of a problem about the unknown `word`: `; did you mean "x"?` if a known one is near, else all known ones.
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // A longer word is near no known one, and comparing megabytes would only take time.
    const LONGEST: usize = 64;
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .filter(|_| word.len() <= LONGEST)
        .map(|known| (strsim::damerau_levenshtein(&word.to_ascii_lowercase(), known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3));
    match near {
        Some((_, near)) => format!("; did you mean {near:?}?"),
        None if known.is_empty() => String::new(),
        None => format!("; known here: {}", known.join(", ")),
    }
}

/// What a value must be, in words.
fn expected(schema: &Value) -> String {
    let words = words(schema);
    if !words.is_empty() {
        let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        return match quoted.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        };
    }
    match type_of(schema) {
        "object" => "an object",
        "array" => "a list",
        "string" if schema["format"] == Span::FORMAT => "a time in quotes, such as \"5s\"",
        "string" => "a string",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        _ => return branches(schema).iter().map(expected).collect::<Vec<_>>().join(" or "),
    }
    .to_owned()
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
