//! The settings of a fault: declared beside it, read from JSON, never missing.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value as Json;

/// One setting of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its field in `with`.
    pub name: &'static str,
    /// What it takes, and its default.
    pub kind: Kind,
    /// What it means.
    pub doc: &'static str,
}

/// What a setting takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string with a unit.
    Span {
        /// Milliseconds.
        default: u64,
    },
    /// A whole number.
    Number {
        /// Where nothing is said.
        default: u64,
        /// What is allowed.
        range: RangeInclusive<u64>,
    },
    /// One of a few words.
    Word {
        /// The first is the default.
        words: &'static [&'static str],
    },
}

impl Param {
    /// A span; the default in milliseconds.
    pub const fn span(name: &'static str, default: u64, doc: &'static str) -> Self {
        Param { name, kind: Kind::Span { default }, doc }
    }

    /// A number within `range`.
    pub const fn number(name: &'static str, default: u64, range: RangeInclusive<u64>, doc: &'static str) -> Self {
        Param { name, kind: Kind::Number { default, range }, doc }
    }

    /// A number of bytes, at most 1 GiB.
    pub const fn bytes(name: &'static str, default: u64, doc: &'static str) -> Self {
        Param::number(name, default, 0..=(1 << 30), doc)
    }

    /// One of `words`, the first by default.
    pub const fn word(name: &'static str, words: &'static [&'static str], doc: &'static str) -> Self {
        Param { name, kind: Kind::Word { words }, doc }
    }

    /// The default as it would stand in JSON.
    pub fn default_json(&self) -> Json {
        self.default_value().to_json()
    }

    /// What it takes, in words.
    pub fn takes(&self) -> String {
        match &self.kind {
            Kind::Span { .. } => "a span like \"250ms\"".to_owned(),
            Kind::Number { range, .. } => format!("a whole number from {} to {}", range.start(), range.end()),
            Kind::Word { words } => format!("one of {}", words.join(", ")),
        }
    }

    fn default_value(&self) -> Value {
        match &self.kind {
            Kind::Span { default } => Value::Span(Duration::from_millis(*default)),
            Kind::Number { default, .. } => Value::Number(*default),
            Kind::Word { words } => Value::Word(words[0]),
        }
    }

    fn read(&self, json: &Json) -> Option<Value> {
        match &self.kind {
            Kind::Span { .. } => humantime::parse_duration(json.as_str()?).ok().map(Value::Span),
            Kind::Number { range, .. } => json.as_u64().filter(|number| range.contains(number)).map(Value::Number),
            Kind::Word { words } => {
                let word = json.as_str()?;
                words.iter().find(|known| **known == word).map(|known| Value::Word(known))
            }
        }
    }
}

/// The setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Span(Duration),
    Number(u64),
    Word(&'static str),
}

impl Value {
    fn to_json(self) -> Json {
        match self {
            Value::Span(span) => humantime::format_duration(span).to_string().into(),
            Value::Number(number) => number.into(),
            Value::Word(word) => word.into(),
        }
    }
}

/// The settings of one plan entry: every declared one is there, and of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values(BTreeMap<&'static str, Value>);

/// A setting that can't be taken: its name and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadParam {
    /// As written.
    pub name: String,
    /// What is wrong, and what to write.
    pub text: String,
}

impl Values {
    /// Reads `given` against what is declared.
    ///
    /// # Errors
    /// All that is wrong: unknown names with the nearest known one, wrong kinds, numbers out of range.
    pub fn read(params: &[Param], given: &serde_json::Map<String, Json>) -> Result<Self, Vec<BadParam>> {
        let mut values: BTreeMap<_, _> = params.iter().map(|param| (param.name, param.default_value())).collect();
        let mut bad = Vec::new();
        for (name, json) in given {
            let Some(param) = params.iter().find(|param| param.name == name) else {
                let known = params.iter().map(|param| param.name);
                bad.push(BadParam { name: name.clone(), text: format!("no such setting{}", hint(name, known)) });
                continue;
            };
            match param.read(json) {
                Some(value) => {
                    values.insert(param.name, value);
                }
                None => {
                    let text = format!("must be {} (got {json})", param.takes());
                    bad.push(BadParam { name: name.clone(), text });
                }
            }
        }
        if bad.is_empty() { Ok(Values(values)) } else { Err(bad) }
    }

    /// The defaults of `params`.
    pub fn defaults(params: &[Param]) -> Self {
        Values(params.iter().map(|param| (param.name, param.default_value())).collect())
    }

    /// As JSON.
    pub fn to_json(&self) -> Json {
        self.0
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_json()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn get(&self, param: &Param) -> Value {
        *self.0.get(param.name).expect("a fault reads only what it declares; the catalogue's tests play them all")
    }

    /// A span.
    pub fn span(&self, param: &Param) -> Duration {
        match self.get(param) {
            Value::Span(span) => span,
            Value::Number(_) | Value::Word(_) => unreachable!("{} is declared as a span", param.name),
        }
    }

    /// A number.
    pub fn number(&self, param: &Param) -> u64 {
        match self.get(param) {
            Value::Number(number) => number,
            Value::Span(_) | Value::Word(_) => unreachable!("{} is declared as a number", param.name),
        }
    }

    /// A word.
    pub fn word(&self, param: &Param) -> &'static str {
        match self.get(param) {
            Value::Word(word) => word,
            Value::Span(_) | Value::Number(_) => unreachable!("{} is declared as a word", param.name),
        }
    }
}

/// `; did you mean "x"?` where something near is known, else the list.
pub(crate) fn hint<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest = known.iter().map(|name| (strsim::damerau_levenshtein(given, name), *name)).min();
    match nearest {
        Some((distance, name)) if distance <= 1 + given.len() / 3 => format!("; did you mean {name:?}?"),
        Some(_) if known.len() <= 12 => format!("; known are {}", known.join(", ")),
        Some(_) => "; `faulty-upstream catalogue` lists them".to_owned(),
        None => "; it takes none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: [Param; 3] = [
        Param::span("delay", 250, "how long"),
        Param::number("count", 3, 1..=9, "how many"),
        Param::word("way", &["up", "down"], "which way"),
    ];

    fn read(json: &str) -> Result<Values, Vec<BadParam>> {
        Values::read(&PARAMS, serde_json::from_str::<Json>(json).unwrap().as_object().unwrap())
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let values = read(r#"{"count": 9}"#).unwrap();
        assert_eq!(values.span(&PARAMS[0]), Duration::from_millis(250));
        assert_eq!((values.number(&PARAMS[1]), values.word(&PARAMS[2])), (9, "up"));
        assert_eq!(values.to_json().to_string(), r#"{"count":9,"delay":"250ms","way":"up"}"#);
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let bad = read(r#"{"count": 10, "dellay": "1s", "way": "sideways", "delay": 5}"#).unwrap_err();
        let texts: Vec<String> = bad.into_iter().map(|bad| format!("{}: {}", bad.name, bad.text)).collect();
        assert_eq!(
            texts,
            [
                "count: must be a whole number from 1 to 9 (got 10)",
                "delay: must be a span like \"250ms\" (got 5)",
                "dellay: no such setting; did you mean \"delay\"?",
                "way: must be one of up, down (got \"sideways\")",
            ]
        );
    }
}
