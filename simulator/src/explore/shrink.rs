//! Shrinking looks for the smallest scenario that still fails for the same reason as a given one.

use serde_json::{Value as Json, json};

use crate::judge::run_on;
use crate::scenario::{self, Scenario};
use crate::world::EngineKind;

/// The smallest scenario that was found.
#[derive(Debug)]
pub struct Shrunk {
    /// The scenario, which still fails.
    pub scenario: Scenario,
    /// How many runs were played to find it.
    pub runs: usize,
}

/// Leaves out whatever is not needed for `scenario` to fail with `seed` on `engine` as it does; at most `most` runs. None where it
/// does not fail.
pub fn shrink(engine: EngineKind, scenario: &Scenario, seed: u64, most: usize) -> Option<Shrunk> {
    let reason = reason(engine, scenario, seed)?;
    let mut best = serde_json::to_value(scenario).ok()?;
    best["seed"] = json!(seed);
    let mut runs = 1;
    loop {
        let smaller = smaller(&best).into_iter().find_map(|candidate| {
            let parsed = scenario::parse(&candidate.to_string()).ok()?;
            if runs >= most {
                return None;
            }
            runs += 1;
            (self::reason(engine, &parsed, seed).as_ref() == Some(&reason)).then_some(candidate)
        });
        match smaller {
            Some(smaller) => best = smaller,
            None => return scenario::parse(&best.to_string()).ok().map(|scenario| Shrunk { scenario, runs }),
        }
    }
}

/// The size of a scenario in words, such as "2 upstreams, 1 request".
pub fn size(scenario: &Scenario) -> String {
    let count = |number: u64, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let length = |of: usize| u64::try_from(of).unwrap_or(u64::MAX);
    let mut parts = vec![count(length(scenario.upstreams.len()), "upstream")];
    let requests: Option<u64> = scenario.clients.iter().map(|client| client.requests).sum();
    let endless = || format!("{} without an end", count(length(scenario.clients.len()), "client"));
    parts.push(requests.map_or_else(endless, |requests| count(requests, "request")));
    let faults = scenario.upstreams.iter().filter_map(|one| one.plan.get("faults")?.as_array().map(Vec::len)).sum();
    for (number, what) in [(faults, "fault"), (scenario.timeline.len(), "event")] {
        if number > 0 {
            parts.push(count(length(number), what));
        }
    }
    parts.join(", ")
}

/// The name of the first law that does not hold, or the text of the first expectation, whose place may change.
fn reason(engine: EngineKind, scenario: &Scenario, seed: u64) -> Option<String> {
    let report = run_on(engine, scenario, seed);
    let first = report.violations.first()?;
    let place = first.of.strip_prefix("expect[").and_then(|rest| rest.strip_suffix(']')?.parse::<usize>().ok());
    Some(match place {
        Some(place) => serde_json::to_string(scenario.expect.get(place)?).ok()?,
        None => first.of.clone(),
    })
}

/// Everything that is one step smaller than `json`, the largest steps first. Some of it is not a valid scenario.
fn smaller(json: &Json) -> Vec<Json> {
    let mut all = Vec::new();
    let mut try_change = |change: &dyn Fn(&mut Json)| {
        let mut candidate = json.clone();
        change(&mut candidate);
        if candidate != *json {
            all.push(candidate);
        }
    };
    for list in ["timeline", "expect", "clients", "upstreams"] {
        let length = json[list].as_array().map_or(0, Vec::len);
        let least = usize::from(matches!(list, "clients" | "upstreams"));
        if length > least + 1 {
            try_change(&|json| truncate(&mut json[list], length.div_ceil(2)));
        }
        for index in (0..length).filter(|_| length > least) {
            try_change(&|json| leave_out(json, list, index));
        }
    }
    for section in ["network", "chance", "proxy"] {
        try_change(&|json| remove(json, section));
        for field in names(&json[section]) {
            try_change(&|json| remove(&mut json[section], &field));
            for inner in names(&json[section][&field]) {
                try_change(&|json| remove(&mut json[section][&field], &inner));
            }
        }
    }
    for list in ["upstreams", "clients"] {
        for (index, item) in json[list].as_array().into_iter().flatten().enumerate() {
            // A client without a number of requests would make more of them.
            for field in names(item).into_iter().filter(|field| field != "requests") {
                try_change(&|json| remove(&mut json[list][index], &field));
            }
            for number in ["requests", "clients", "max_in_flight"] {
                if let Some(value) = item[number].as_u64().filter(|value| *value > 1) {
                    for less in [value / 2, value - value.div_ceil(4), value - 1] {
                        try_change(&|json| json[list][index][number] = json!(less));
                    }
                }
            }
        }
    }
    for (index, client) in json["clients"].as_array().into_iter().flatten().enumerate() {
        for does in smaller_mixes(&client["do"]) {
            try_change(&|json| json["clients"][index]["do"] = does.clone());
        }
        if client["requests"].is_null() {
            for some in [1, 8, 64, 512] {
                try_change(&|json| json["clients"][index]["requests"] = json!(some));
            }
        }
    }
    if let Some(seconds) = json["duration"].as_str().and_then(|text| humantime::parse_duration(text).ok()) {
        let half = humantime::format_duration(std::time::Duration::from_secs(seconds.as_secs() / 2)).to_string();
        try_change(&|json| json["duration"] = json!(half));
    }
    all
}

/// A client's actions with one of them left out, or with less of one option.
fn smaller_mixes(does: &Json) -> Vec<Json> {
    let actions: Vec<&str> = match does {
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let mut all = Vec::new();
    for place in (0..actions.len()).rev() {
        let (before, behind) = (&actions[..place], &actions[place + 1..]);
        let changed = smaller_actions(actions[place]);
        let none = (actions.len() > 1).then(Vec::new);
        for instead in none.into_iter().chain(changed.iter().map(|action| vec![action.as_str()])) {
            all.push(match [before, &instead, behind].concat().as_slice() {
                [one] => json!(one),
                several => json!(several),
            });
        }
    }
    all
}

/// `NAME:OPTION=VALUE,OPTION` with one option less, or with half of it.
fn smaller_actions(action: &str) -> Vec<String> {
    let (name, options) = action.split_once(':').unwrap_or((action, ""));
    let options: Vec<&str> = options.split(',').filter(|option| !option.is_empty()).collect();
    let half = |option: &str| {
        let (name, value) = option.split_once('=')?;
        let number = loadgen::quantity::bytes(value).ok().filter(|number| *number > 1)?;
        Some(format!("{name}={}", number / 2))
    };
    let mut all = Vec::new();
    for (place, option) in options.iter().enumerate() {
        let (before, behind) = (&options[..place], &options[place + 1..]);
        all.push([before, behind].concat().join(","));
        if let Some(half) = half(option) {
            all.push([before, &[half.as_str()], behind].concat().join(","));
        }
    }
    let written = |options: &String| if options.is_empty() { name.to_owned() } else { format!("{name}:{options}") };
    all.iter().map(written).collect()
}

fn names(json: &Json) -> Vec<String> {
    json.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

fn remove(json: &mut Json, field: &str) {
    if let Some(object) = json.as_object_mut() {
        object.remove(field);
    }
}

fn truncate(list: &mut Json, length: usize) {
    if let Some(items) = list.as_array_mut() {
        items.truncate(length);
    }
}

/// Takes an item away; of an upstream, also the proxy's entries for it.
fn leave_out(json: &mut Json, list: &str, index: usize) {
    let Some(items) = json[list].as_array_mut().filter(|items| index < items.len()) else { return };
    let gone = items.remove(index);
    if list != "upstreams" {
        return;
    }
    let Some(name) = gone["name"].as_str() else { return };
    let names_it = |one: &Json| one["url"].as_str().is_some_and(|url| url.contains(&format!("//{name}:")));
    let configurations = std::iter::once("/proxy".to_owned())
        .chain((0..json["timeline"].as_array().map_or(0, Vec::len)).map(|index| format!("/timeline/{index}/proxy")));
    for place in configurations.collect::<Vec<_>>() {
        let upstreams = json.pointer_mut(&place).and_then(|proxy| proxy.get_mut("upstream_proxies")?.as_array_mut());
        if let Some(upstreams) = upstreams {
            upstreams.retain(|one| !names_it(one));
        }
    }
    let touches = |entry: &Json| entry.to_string().contains(&format!("\"{name}\""));
    if let Some(timeline) = json["timeline"].as_array_mut() {
        timeline.retain(|entry| !touches(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_left_out() {
        let text = r#"{"name": "x", "story": "x", "duration": "20s",
            "network": {"jitter": "10ms"},
            "proxy": {"health_check": {"failure_threshold": 1}, "timeouts": {"connect": "1s"}},
            "upstreams": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
            "clients": [{"name": "k", "do": ["echo:rounds=2,bytes=9", "3*connect"], "requests": 40, "rate": 10},
                {"name": "l", "do": "upload", "requests": 3}],
            "timeline": [{"at": "1s", "do": "crash", "host": "a"}, {"at": "2s", "do": "clock-jump", "by": "1h"},
                {"at": "3s", "do": "restart", "host": "a"}],
            "expect": [{"what": "seen", "event": "ejected", "at_least": 0, "at_most": 0}]}"#;
        let shrunk = shrink(EngineKind::default(), &scenario::parse(text).unwrap(), 1, 500).unwrap();
        let scenario = &shrunk.scenario;
        assert_eq!(
            (scenario.timeline.len(), scenario.clients.len(), scenario.upstreams.len()),
            (1, 1, 1),
            "{scenario:#?}"
        );
        assert!(serde_json::to_string(scenario).unwrap().len() < 500, "{scenario:#?}");
        assert!(reason(EngineKind::default(), scenario, 1).is_some());
    }

    #[test]
    fn a_scenario_that_holds_is_not_shrunk() {
        let text = r#"{"name": "x", "story": "x", "duration": "1s", "upstreams": [{"name": "a"}],
            "clients": [{"name": "k", "do": "echo", "requests": 1}]}"#;
        assert!(shrink(EngineKind::default(), &scenario::parse(text).unwrap(), 1, 9).is_none());
    }
}
