//! Reads a JSON tree strictly: it must be UTF-8, have no key twice, and be of a bounded size.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::problem::Problems;

/// The largest configuration file read.
pub(in crate::config) const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Reads a JSON document. `None` where it isn't one, which `problems` then says; doubled keys are also said there.
pub fn read(bytes: &[u8], problems: &mut Problems) -> Option<Value> {
    match tree(bytes, problems) {
        Ok(value) => Some(value),
        Err((at, what)) => {
            problems.add(at, what);
            None
        }
    }
}

fn tree(bytes: &[u8], problems: &mut Problems) -> Result<Value, (String, String)> {
    if bytes.len() > MAX_BYTES {
        return Err((String::new(), format!("must be {} MiB or smaller", MAX_BYTES >> 20)));
    }
    // Some editors begin UTF-8 files with a byte order mark; it means nothing here.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|err| {
        (position(&bytes[..err.valid_up_to()]), "must be UTF-8 text, but a byte here is not".to_owned())
    })?;
    if let Some(nul) = bytes.iter().position(|byte| *byte == 0) {
        return Err((position(&bytes[..nul]), "must be text, but here stands a NUL byte".to_owned()));
    }
    if text.trim().is_empty() {
        return Err((String::new(), "the file is empty; it must hold a JSON object".to_owned()));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let mut root = String::new();
    let value = Tree { path: &mut root, problems }.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    value.map_err(|err| {
        let message = err.to_string();
        let what = message.split(" at line ").next().unwrap_or(&message);
        (format!("line {}, column {}", err.line(), err.column()), format!("not JSON: {what}"))
    })
}

/// Where the byte behind `before` stands.
fn position(before: &[u8]) -> String {
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    format!("line {line}, column {}", before.len() - start + 1)
}

/// The place of the field `name` of the object at `path`.
pub fn join(path: &str, name: &str) -> String {
    path.to_owned() + &step(path, name)
}

fn step(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-$".contains(c));
    match (plain, path.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!(".{name}"),
        (false, _) => format!("[{name:?}]"),
    }
}

/// Runs `inside` with `path` lengthened by `step`.
fn at<T>(path: &mut String, step: &str, inside: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    path.push_str(step);
    let result = inside(path);
    path.truncate(length);
    result
}

/// Builds the tree and knows where it is in it. serde_json would silently keep the last of two equal keys.
struct Tree<'a> {
    path: &'a mut String,
    problems: &'a mut Problems,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let problems = self.problems;
        while let Some(item) = at(self.path, &format!("[{}]", items.len()), |path| {
            seq.next_element_seed(Tree { path, problems: &mut *problems })
        })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        let problems = self.problems;
        while let Some(name) = map.next_key::<String>()? {
            let step = step(self.path, &name);
            let value = at(self.path, &step, |path| {
                if fields.contains_key(&name) {
                    problems.add(path.as_str(), "must stand only once");
                }
                map.next_value_seed(Tree { path, problems: &mut *problems })
            })?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}
