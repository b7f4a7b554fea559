//! Two traces are held against each other: the first line that differs, and what became of each request behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value as Json;

/// Examples that are told of each kind of difference.
const EXAMPLES: usize = 5;

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Course {
    /// In its client's words.
    ended: Option<String>,
    /// By which upstream it was served, and after how many attempts.
    served: Option<String>,
}

/// A trace that was written before.
struct Told {
    lines: Vec<Json>,
    requests: BTreeMap<String, Course>,
    /// Ejections and recoveries, with their times in seconds.
    turns: Vec<String>,
}

impl Told {
    fn read(text: &str) -> Result<Self, String> {
        let mut told = Told { lines: Vec::new(), requests: BTreeMap::new(), turns: Vec::new() };
        for (number, line) in (1..).zip(text.lines()) {
            let json: Json = serde_json::from_str(line).map_err(|error| format!("line {number}: not JSON: {error}"))?;
            if !json["at_us"].is_u64() {
                return Err(format!("line {number}: no line of a trace: it has no at_us"));
            }
            told.note(&json);
            told.lines.push(json);
        }
        Ok(told)
    }

    fn note(&mut self, line: &Json) {
        // A trace may come from others: nothing of it gives a terminal or a pipeline an order.
        let text = |field: &str| line[field].as_str().unwrap_or_default().escape_debug().to_string();
        match (text("by").as_str(), text("event").as_str()) {
            ("client", "asked") => drop(self.requests.entry(text("id")).or_default()),
            ("client", "ended") => {
                let ended = match &line["failure"] {
                    Json::Null => "ok".to_owned(),
                    failure => failure.to_string(),
                };
                self.requests.entry(text("id")).or_default().ended = Some(ended);
            }
            ("proxy", "finished") => {
                // The first label of a target is the request's id.
                let target = text("target");
                let id = target.split('.').next().unwrap_or_default();
                if let Some(course) = self.requests.get_mut(id) {
                    course.served = Some(format!("{} in {} attempts", text("upstream"), line["attempts"]));
                }
            }
            ("proxy", event @ ("ejected" | "recovered")) => {
                self.turns.push(format!("{} {event} at {}", text("upstream"), seconds(line)));
            }
            _ => {}
        }
    }
}

fn seconds(line: &Json) -> String {
    format!("{:.3} s", line["at_us"].as_u64().unwrap_or(0) as f64 / 1e6)
}

/// How two traces differ. It prints as text for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceDiff {
    /// The number of the first line that differs, from 1, and that line in each trace, where it has one.
    pub first: Option<(usize, [Option<String>; 2])>,
    /// What followed, a sentence each.
    pub followed: Vec<String>,
}

impl TraceDiff {
    /// Whether the traces are the same, line by line.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Holds the trace `one` against `other`, both as `simulator trace` writes them.
    ///
    /// # Errors
    /// One of them is no trace; the text says which, and in which line.
    pub fn of(one: &str, other: &str) -> Result<Self, String> {
        let read = |text: &str, which: &str| Told::read(text).map_err(|error| format!("the {which} trace: {error}"));
        let (one, other) = (read(one, "first")?, read(other, "second")?);
        if one.lines.is_empty() && other.lines.is_empty() {
            return Err("both traces are empty".to_owned());
        }
        let alike = one.lines.iter().zip(&other.lines).take_while(|(one, other)| one == other).count();
        if alike == one.lines.len() && alike == other.lines.len() {
            return Ok(TraceDiff::default());
        }
        let line = |told: &Told| told.lines.get(alike).map(|line| format!("{} {line}", seconds(line)));
        let first = Some((alike + 1, [line(&one), line(&other)]));
        let mut followed = Vec::new();
        let ids: BTreeSet<&String> = one.requests.keys().chain(other.requests.keys()).collect();
        let (mut alone, mut ended, mut served) = (Vec::new(), Vec::new(), Vec::new());
        for id in ids {
            let (Some(was), Some(is)) = (one.requests.get(id), other.requests.get(id)) else {
                alone.push(id.clone());
                continue;
            };
            let shown = |told: &Option<String>| told.clone().unwrap_or_else(|| "no end".to_owned());
            if was.ended != is.ended {
                ended.push(format!("{id}: {} → {}", shown(&was.ended), shown(&is.ended)));
            }
            if was.served != is.served {
                served.push(format!("{id}: {} → {}", shown(&was.served), shown(&is.served)));
            }
        }
        let gone = one.turns.iter().filter(|turn| !other.turns.contains(turn)).map(|turn| format!("was: {turn}"));
        let new = other.turns.iter().filter(|turn| !one.turns.contains(turn)).map(|turn| format!("is: {turn}"));
        let turns: Vec<String> = gone.chain(new).collect();
        for (what, examples) in [
            ("requests are in one trace only", alone),
            ("requests ended otherwise", ended),
            ("requests were served otherwise", served),
            ("ejections and recoveries are others, or at another time", turns),
        ] {
            if !examples.is_empty() {
                let more = if examples.len() > EXAMPLES { "; …" } else { "" };
                let told = examples.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join("; ");
                followed.push(format!("{} {what}: {told}{more}", examples.len()));
            }
        }
        if followed.is_empty() {
            followed.push("every request ended and was served as before".to_owned());
        }
        Ok(TraceDiff { first, followed })
    }
}

impl fmt::Display for TraceDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((number, lines)) = &self.first else { return writeln!(f, "the traces are the same") };
        writeln!(f, "the first difference is in line {number}:")?;
        for (mark, line) in ["-", "+"].into_iter().zip(lines) {
            writeln!(f, "{mark} {}", line.as_deref().unwrap_or("the trace has ended"))?;
        }
        self.followed.iter().try_for_each(|sentence| writeln!(f, "{sentence}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::run;
    use crate::scenario;

    fn trace(threshold: u32, seed: u64) -> String {
        let text = format!(
            r#"{{"name": "x", "story": "x", "duration": "6s", "proxy": {{"health_check": {{"failure_threshold": {threshold}}}}},
            "upstreams": [{{"name": "a"}}, {{"name": "b"}}], "clients": [{{"name": "c", "do": "echo", "requests": 40, "rate": 10}}],
            "timeline": [{{"at": "2050ms", "do": "crash", "host": "a"}}]}}"#
        );
        let report = run(&scenario::parse(&text).unwrap(), seed);
        report.trace.lines.iter().map(|line| line.to_json() + "\n").collect()
    }

    #[test]
    fn the_same_run_is_the_same_and_another_is_told_by_what_followed() {
        let (one, other) = (trace(1, 1), trace(3, 1));
        let same = TraceDiff::of(&one, &trace(1, 1)).unwrap();
        assert!(same.is_empty() && same.to_string() == "the traces are the same\n");
        let diff = TraceDiff::of(&one, &other).unwrap();
        let text = diff.to_string();
        let (number, [was, is]) = diff.first.clone().unwrap();
        assert!(number > 10 && was != is, "{text}");
        assert!(was.is_some_and(|line| line.starts_with("2.") && line.contains("ejected")), "{text}");
        assert!(text.contains("requests were served otherwise: c-") && text.contains("in 2 attempts"), "{text}");
        assert!(text.contains("was: a ejected at 2."), "{text}");
        assert!(!text.contains("ended otherwise"), "no client has noticed: {text}");
    }

    #[test]
    fn a_trace_that_ends_early_differs_and_what_is_no_trace_is_refused() {
        let whole = trace(1, 1);
        let half: String = whole.lines().take(20).map(|line| format!("{line}\n")).collect();
        let diff = TraceDiff::of(&whole, &half).unwrap();
        assert_eq!(diff.first.as_ref().map(|(number, lines)| (*number, lines[1].clone())), Some((21, None)));
        assert!(diff.to_string().contains("+ the trace has ended"));
        assert_eq!(
            TraceDiff::of(&half, "{}\n").unwrap_err(),
            "the second trace: line 1: no line of a trace: it has no at_us"
        );
        assert!(TraceDiff::of("x", &half).unwrap_err().starts_with("the first trace: line 1: not JSON"));
    }
}
