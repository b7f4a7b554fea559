//! Declares the settings of faults beside the fault, and reads them from JSON.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value as Json;

/// One setting of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name of its field in `with`.
    pub name: &'static str,
    /// The type of its value, and the default.
    pub value_type: SettingType,
    /// What the setting means.
    pub doc: &'static str,
}

/// The type of a setting, with its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingType {
    /// A duration, written as a string with a unit.
    Duration {
        /// In milliseconds.
        default: u64,
    },
    /// A whole number.
    Number {
        /// The value where the plan gives none.
        default: u64,
        /// The values that are allowed.
        range: RangeInclusive<u64>,
    },
    /// One of a few words.
    Choice {
        /// The words. The first is the default.
        words: &'static [&'static str],
    },
}

impl Setting {
    /// Declares a duration. The default is in milliseconds.
    pub(crate) const fn duration(name: &'static str, default: u64, doc: &'static str) -> Self {
        Setting { name, value_type: SettingType::Duration { default }, doc }
    }

    /// Declares a number within `range`.
    pub(crate) const fn number(
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        doc: &'static str,
    ) -> Self {
        Setting { name, value_type: SettingType::Number { default, range }, doc }
    }

    /// Declares a number of bytes, at most 1 GiB.
    pub(crate) const fn bytes(name: &'static str, default: u64, doc: &'static str) -> Self {
        Setting::number(name, default, 0..=(1 << 30), doc)
    }

    /// Declares one of `words`. The first is the default.
    pub(crate) const fn choice(name: &'static str, words: &'static [&'static str], doc: &'static str) -> Self {
        Setting { name, value_type: SettingType::Choice { words }, doc }
    }

    /// The default, as it is written in JSON.
    pub(crate) fn default_json(&self) -> Json {
        self.default_value().to_json()
    }

    /// What values it takes, in words.
    pub(crate) fn takes(&self) -> String {
        match &self.value_type {
            SettingType::Duration { .. } => "a duration like \"250ms\"".to_owned(),
            SettingType::Number { range, .. } => format!("a whole number from {} to {}", range.start(), range.end()),
            SettingType::Choice { words } => format!("one of {}", words.join(", ")),
        }
    }

    fn default_value(&self) -> Value {
        match &self.value_type {
            SettingType::Duration { default } => Value::Duration(Duration::from_millis(*default)),
            SettingType::Number { default, .. } => Value::Number(*default),
            SettingType::Choice { words } => Value::Choice(words[0]),
        }
    }

    fn read(&self, json: &Json) -> Option<Value> {
        match &self.value_type {
            SettingType::Duration { .. } => humantime::parse_duration(json.as_str()?).ok().map(Value::Duration),
            SettingType::Number { range, .. } => {
                json.as_u64().filter(|number| range.contains(number)).map(Value::Number)
            }
            SettingType::Choice { words } => {
                let word = json.as_str()?;
                words.iter().find(|known| **known == word).map(|known| Value::Choice(known))
            }
        }
    }
}

/// The value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Duration(Duration),
    Number(u64),
    Choice(&'static str),
}

impl Value {
    fn to_json(self) -> Json {
        match self {
            Value::Duration(time) => humantime::format_duration(time).to_string().into(),
            Value::Number(number) => number.into(),
            Value::Choice(word) => word.into(),
        }
    }
}

/// The values of the settings of one plan entry. Every setting that its fault declares has a value of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettingValues(BTreeMap<&'static str, Value>);

/// What is wrong with one setting of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettingProblem {
    /// The name of the setting, as it is written.
    pub(crate) name: String,
    /// What is wrong, and what to write instead.
    pub(crate) text: String,
}

impl SettingValues {
    /// Reads the values in `given` of the settings that a fault declares.
    ///
    /// # Errors
    /// Everything that is wrong: unknown names, each with the nearest known one; wrong types; numbers out of range.
    pub(crate) fn read(
        declared: &[Setting],
        given: &serde_json::Map<String, Json>,
    ) -> Result<Self, Vec<SettingProblem>> {
        let mut values: BTreeMap<_, _> =
            declared.iter().map(|setting| (setting.name, setting.default_value())).collect();
        let mut bad = Vec::new();
        for (name, json) in given {
            let Some(setting) = declared.iter().find(|setting| setting.name == name) else {
                let known = declared.iter().map(|setting| setting.name);
                bad.push(SettingProblem { name: name.clone(), text: format!("no such setting{}", hint(name, known)) });
                continue;
            };
            match setting.read(json) {
                Some(value) => {
                    values.insert(setting.name, value);
                }
                None => {
                    let text = format!("must be {} (got {json})", setting.takes());
                    bad.push(SettingProblem { name: name.clone(), text });
                }
            }
        }
        if bad.is_empty() { Ok(SettingValues(values)) } else { Err(bad) }
    }

    /// The default values of the settings that a fault declares.
    pub(crate) fn defaults(declared: &[Setting]) -> Self {
        SettingValues(declared.iter().map(|setting| (setting.name, setting.default_value())).collect())
    }

    /// Writes the values as JSON.
    pub(crate) fn to_json(&self) -> Json {
        self.0
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_json()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn get(&self, setting: &Setting) -> Value {
        *self.0.get(setting.name).expect("a fault reads only what it declares; the catalogue's tests play them all")
    }

    /// The value of a duration.
    pub(crate) fn duration(&self, setting: &Setting) -> Duration {
        match self.get(setting) {
            Value::Duration(time) => time,
            Value::Number(_) | Value::Choice(_) => unreachable!("{} is declared as a duration", setting.name),
        }
    }

    /// The value of a number.
    pub(crate) fn number(&self, setting: &Setting) -> u64 {
        match self.get(setting) {
            Value::Number(number) => number,
            Value::Duration(_) | Value::Choice(_) => unreachable!("{} is declared as a number", setting.name),
        }
    }

    /// The value of a choice.
    pub(crate) fn choice(&self, setting: &Setting) -> &'static str {
        match self.get(setting) {
            Value::Choice(word) => word,
            Value::Duration(_) | Value::Number(_) => unreachable!("{} is declared as a choice", setting.name),
        }
    }
}

/// Names the known word that is nearest to `given`, as `; did you mean "x"?`. If none is near, lists all known words.
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

    const SETTINGS: [Setting; 3] = [
        Setting::duration("delay", 250, "how long"),
        Setting::number("count", 3, 1..=9, "how many"),
        Setting::choice("way", &["up", "down"], "which way"),
    ];

    fn read(json: &str) -> Result<SettingValues, Vec<SettingProblem>> {
        SettingValues::read(&SETTINGS, serde_json::from_str::<Json>(json).unwrap().as_object().unwrap())
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let values = read(r#"{"count": 9}"#).unwrap();
        assert_eq!(values.duration(&SETTINGS[0]), Duration::from_millis(250));
        assert_eq!((values.number(&SETTINGS[1]), values.choice(&SETTINGS[2])), (9, "up"));
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
                "delay: must be a duration like \"250ms\" (got 5)",
                "dellay: no such setting; did you mean \"delay\"?",
                "way: must be one of up, down (got \"sideways\")",
            ]
        );
    }
}
