//! Reads plans from JSON. All problems are reported at once, each with its place and what to write instead.
//!
//! Plans are read by hand because they have no schema: each fault declares its own settings (`setting.rs`). The proxy's
//! reader of configurations is of no use here, since a double may not import the proxy.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::entries::Plan;
use super::entry::PlanEntry;
use super::when::{RequestFilter, TargetPattern, When};
use crate::catalogue::CATALOGUE;
use crate::draw::Probability;
use crate::fault::{Action, Fault};
use crate::setting::{SettingValues, hint};

/// One problem of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The JSON path of its place.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.text) } else { write!(f, "{}: {}", self.path, self.text) }
    }
}

/// Reads a plan from JSON.
///
/// # Errors
/// All problems, in the order of the text.
pub fn parse(text: &str) -> Result<Plan, Vec<Problem>> {
    let mut reader = Reader::default();
    let plan = reader.json(text).and_then(|json| reader.plan(&json));
    reader.result(plan)
}

/// Reads one entry of a plan from JSON.
///
/// # Errors
/// All problems, in the order of the text.
pub fn parse_entry(text: &str) -> Result<PlanEntry, Vec<Problem>> {
    let mut reader = Reader::default();
    let entry = reader.json(text).and_then(|json| reader.entry("", &json));
    reader.result(entry)
}

#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn result<T>(self, value: Option<T>) -> Result<T, Vec<Problem>> {
        value.filter(|_| self.problems.is_empty()).ok_or(self.problems)
    }

    fn problem(&mut self, path: &str, text: impl Into<String>) {
        self.problems.push(Problem { path: path.to_owned(), text: text.into() });
    }

    fn json(&mut self, text: &str) -> Option<Json> {
        serde_json::from_str(text).map_err(|error| self.problem("", format!("not JSON: {error}"))).ok()
    }

    /// Reads an object that has no other fields than `known`.
    fn object<'a>(&mut self, path: &str, json: &'a Json, known: &[&str]) -> Option<&'a Map<String, Json>> {
        let Some(object) = json.as_object() else {
            self.problem(path, format!("must be an object (got {json})"));
            return None;
        };
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            let text = format!("unknown field{}", hint(name, known.iter().copied()));
            self.problem(&join(path, name), text);
        }
        Some(object)
    }

    /// Reads a field that may be missing.
    fn field<T>(
        &mut self,
        path: &str,
        object: &Map<String, Json>,
        name: &str,
        takes: &str,
        read: impl FnOnce(&Json) -> Option<T>,
    ) -> Option<T> {
        let json = object.get(name)?;
        let value = read(json);
        if value.is_none() {
            self.problem(&join(path, name), format!("must be {takes} (got {json})"));
        }
        value
    }

    fn plan(&mut self, json: &Json) -> Option<Plan> {
        let object = self.object("", json, &["seed", "faults"])?;
        let seed = self.field("", object, "seed", "a whole number", Json::as_u64).unwrap_or(0);
        let entries = self.field("", object, "faults", "a list", |json| json.as_array().cloned()).unwrap_or_default();
        let mut plan = Plan::new(seed);
        let mut ids = BTreeSet::new();
        for (index, json) in entries.iter().enumerate() {
            let path = format!("faults[{index}]");
            let Some(mut entry) = self.entry(&path, json) else { continue };
            // Entries that the plan gives no id get a number, so that their ids differ.
            if json.get("id").is_none() {
                let mut number = 1;
                while ids.contains(&entry.id) {
                    number += 1;
                    entry.id = format!("{}-{number}", entry.fault.name);
                }
            }
            ids.insert(entry.id.clone());
            if let Err(text) = plan.add(entry) {
                self.problem(&join(&path, "id"), text);
            }
        }
        Some(plan)
    }

    fn entry(&mut self, path: &str, json: &Json) -> Option<PlanEntry> {
        // The output of `ctl list` is a plan, too. So the counter that it shows is allowed here, and ignored.
        let object = self.object(path, json, &["id", "fault", "with", "when", "for", "armed", "struck"])?;
        let string = |json: &Json| json.as_str().map(str::to_owned);
        let name = self.field(path, object, "fault", "a string", string);
        let fault = match name.as_deref() {
            Some(name) => self.fault(&join(path, "fault"), name),
            None => {
                if !object.contains_key("fault") {
                    self.problem(&join(path, "fault"), "is missing; `faulty-upstream catalogue` lists them");
                }
                None
            }
        };
        let nonempty = |json: &Json| string(json).filter(|id| !id.is_empty() && !id.contains(['/', ' ']));
        let id = self.field(path, object, "id", "a word without spaces and slashes", nonempty);
        let armed = self.field(path, object, "armed", "true or false", Json::as_bool).unwrap_or(true);
        let when = object.get("when").map(|json| self.when(&join(path, "when"), json)).unwrap_or_default();
        let filter = object.get("for").map(|json| self.filter(&join(path, "for"), json)).unwrap_or_default();
        let fault = fault?;
        let with = object.get("with").cloned().unwrap_or_else(|| Map::new().into());
        let with = self.settings(&join(path, "with"), fault, &with)?;
        self.check_fit(path, fault, &when, &filter);
        let id = id.unwrap_or_else(|| fault.name.to_owned());
        Some(PlanEntry { id, fault, with, when, filter, armed, armed_since: Duration::ZERO, struck: 0 })
    }

    fn fault(&mut self, path: &str, name: &str) -> Option<&'static Fault> {
        let fault = Fault::named(name);
        if fault.is_none() {
            let hint = hint(name, CATALOGUE.iter().map(|fault| fault.name));
            self.problem(path, format!("no fault {name:?}{hint}"));
        }
        fault
    }

    fn settings(&mut self, path: &str, fault: &Fault, json: &Json) -> Option<SettingValues> {
        let Some(object) = json.as_object() else {
            self.problem(path, format!("must be an object (got {json})"));
            return None;
        };
        match SettingValues::read(fault.settings, object) {
            Ok(values) => Some(values),
            Err(bad) => {
                for bad in bad {
                    self.problem(&join(path, &bad.name), bad.text);
                }
                None
            }
        }
    }

    fn when(&mut self, path: &str, json: &Json) -> When {
        let known = ["nth", "every", "probability", "from", "until"];
        let Some(object) = self.object(path, json, &known) else { return When::default() };
        let count = |json: &Json| json.as_u64().and_then(NonZeroU64::new);
        let span = |json: &Json| -> Option<Duration> { humantime::parse_duration(json.as_str()?).ok() };
        let chance = |json: &Json| json.as_f64().and_then(Probability::new);
        const COUNT: &str = "a whole number from 1 on";
        const SPAN: &str = "a duration like \"5s\"";
        let when = When {
            nth: self.field(path, object, "nth", COUNT, count),
            every: self.field(path, object, "every", COUNT, count),
            probability: self.field(path, object, "probability", "a number from 0 to 1", chance),
            from: self.field(path, object, "from", SPAN, span).unwrap_or_default(),
            until: self.field(path, object, "until", SPAN, span),
        };
        if when.until.is_some_and(|until| until <= when.from) {
            self.problem(&join(path, "until"), "must be later than \"from\"; it would never strike");
        }
        when
    }

    fn filter(&mut self, path: &str, json: &Json) -> RequestFilter {
        let Some(object) = self.object(path, json, &["target", "user", "method"]) else {
            return RequestFilter::default();
        };
        let string = |json: &Json| json.as_str().map(str::to_owned);
        RequestFilter {
            target: self.field(path, object, "target", "a string, * for anything", |json| {
                json.as_str().map(TargetPattern::new)
            }),
            user: self.field(path, object, "user", "a string", string),
            method: self.field(path, object, "method", "a string", string),
        }
    }

    /// Reports conditions that the fault can never check.
    fn check_fit(&mut self, path: &str, fault: &Fault, when: &When, filter: &RequestFilter) {
        let name = fault.name;
        if matches!(fault.action, Action::Listener(_)) && when.tells_connections_apart() {
            let text = format!("{name} acts on the listener and can't tell connections apart; use from, until or arm");
            self.problem(&join(path, "when"), text);
        }
        if matches!(fault.action, Action::Listener(_) | Action::Connection(_) | Action::Handshake(_))
            && !filter.is_empty()
        {
            let text = format!("{name} strikes before a request is read and can't know it; leave \"for\" out");
            self.problem(&join(path, "for"), text);
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_with_everything_is_read_and_given_back() {
        let text = r#"{"seed": 7, "faults": [
            {"fault": "status", "with": {"status": 599}, "when": {"every": 3, "from": "5s", "until": "1m"},
             "for": {"target": "*.mock:80", "user": "u", "method": "CONNECT"}, "armed": false},
            {"fault": "status", "when": {"probability": 0.25, "nth": 2}},
            {"id": "mine", "fault": "refuse"}]}"#;
        let plan = parse(text).unwrap();
        let ids: Vec<&str> = plan.entries().iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["status", "status-2", "mine"]);
        let labels: Vec<String> = plan.entries().iter().map(PlanEntry::label).collect();
        assert_eq!(labels, ["status", "status@status-2", "refuse@mine"]);
        let again = parse(&plan.to_json().to_string()).unwrap();
        assert_eq!(again.to_json(), plan.to_json());
        assert!(plan.to_json().to_string().contains(r#""when":{"every":3,"from":"5s","until":"1m"}"#));
    }

    #[test]
    fn every_problem_has_its_path_and_a_hint() {
        let text = r#"{"sead": 7, "faults": [
            {"fault": "acept-close"},
            {"fault": "drip", "with": {"gap": 5, "gab": "1s"}, "wen": {}},
            {"fault": "refuse", "when": {"nth": 1}, "for": {"user": "u"}},
            {"fault": "cut", "when": {"every": 0, "probability": 2, "from": "5s", "until": "5s"}},
            {"id": "a b", "fault": "drip"}, {"id": "x", "fault": "cut"}, {"id": "x", "fault": "cut"}, {}]}"#;
        let problems: Vec<String> = parse(text).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                r#"sead: unknown field; did you mean "seed"?"#,
                r#"faults[0].fault: no fault "acept-close"; did you mean "accept-close"?"#,
                r#"faults[1].wen: unknown field; did you mean "when"?"#,
                r#"faults[1].with.gab: no such setting; did you mean "gap"?"#,
                r#"faults[1].with.gap: must be a duration like "250ms" (got 5)"#,
                "faults[2].when: refuse acts on the listener and can't tell connections apart; use from, until or arm",
                "faults[2].for: refuse strikes before a request is read and can't know it; leave \"for\" out",
                "faults[3].when.every: must be a whole number from 1 on (got 0)",
                "faults[3].when.probability: must be a number from 0 to 1 (got 2)",
                "faults[3].when.until: must be later than \"from\"; it would never strike",
                "faults[4].id: must be a word without spaces and slashes (got \"a b\")",
                r#"faults[6].id: "x" is taken by another entry; give it an "id" of its own"#,
                "faults[7].fault: is missing; `faulty-upstream catalogue` lists them",
            ]
        );
    }

    #[test]
    fn what_is_no_json_is_said_with_its_place() {
        let problems = parse("{\n  nope").unwrap_err();
        assert!(problems[0].to_string().starts_with("not JSON: "), "{problems:?}");
        assert!(problems[0].to_string().contains("line 2"), "{problems:?}");
    }
}
