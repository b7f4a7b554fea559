//! Reads a scenario from a text, or names all problems of the text, each with its place and what to write instead.

use std::path::Path;

use loadgen::{ActionShare, Stages, User};
use proxy::config::Problems;
use proxy::config::text::{self, Dialect};
use serde_json::Value as Json;

use super::meaning::meaning;
use super::scale::scale;
use crate::scenario::file::{Scenario, schema};
use crate::scenario::values::clock_jump::ClockJump;
use crate::scenario::values::rate::{self, Rate};
use crate::scenario::values::written::Notation;

/// Reads the scenario file at `path`.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn load(path: &Path) -> Result<Scenario, Problems> {
    load_scaled(path, 1.0)
}

/// Reads the scenario file at `path`, and multiplies every length of time in it by `factor`.
///
/// # Errors
/// Everything that is wrong with the file, and every length of time that can't be multiplied by that.
pub fn load_scaled(path: &Path, factor: f64) -> Result<Scenario, Problems> {
    let mut problems = Problems::in_file(&path.display().to_string());
    let text = std::fs::read(path).map_err(|error| problems.add("", format!("can't read the file: {error}")));
    text.ok().and_then(|text| read(&text, factor, &mut problems)).ok_or(problems)
}

/// Reads a scenario from the text of its file.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(text: &str) -> Result<Scenario, Problems> {
    let mut problems = Problems::in_file("scenario");
    read(text.as_bytes(), 1.0, &mut problems).ok_or(problems)
}

/// Reads a scenario; `None` if there are problems. Each step begins only when the one before it found none.
fn read(text: &[u8], factor: f64, problems: &mut Problems) -> Option<Scenario> {
    let mut json = text::read(text, problems)?;
    text::fit(schema(), &Notations, &mut json, problems);
    if factor != 1.0 && problems.is_empty() {
        scale(&mut json, factor, problems);
    }
    if !problems.is_empty() {
        return None;
    }
    let scenario: Scenario = serde_json::from_value(json).map_err(|error| problems.add("", error.to_string())).ok()?;
    meaning(&scenario, problems);
    problems.is_empty().then_some(scenario)
}

/// The values of a scenario that have a notation of their own. loadgen reads most of them, as on its command line.
struct Notations;

impl Dialect for Notations {
    fn check(&self, format: &str, value: &Json) -> Result<(), String> {
        match (format, value) {
            (ActionShare::FORMAT, Json::String(text)) => ActionShare::read(text).map(drop),
            (Stages::FORMAT, Json::String(text)) => Stages::read(text).map(drop),
            (ClockJump::FORMAT, Json::String(text)) => ClockJump::read(text).map(drop),
            (User::FORMAT, Json::String(text)) => User::read(text).map(drop),
            (rate::FORMAT, Json::Number(number)) => Rate::read(number).map(drop),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    const HEAD: &str = r#""name": "x", "story": "x", "duration": "1s", "upstreams": [{"name": "a"}]"#;

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_the_nearest_name() {
        for (body, expected) in [
            (r#""clients": [], "timelin": []"#, r#"timelin: unknown field; did you mean "timeline"?"#),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "thinck": "1s"}]"#,
                r#"clients[0].thinck: unknown field; did you mean "think"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": "1"}]"#,
                r#"clients[0].requests: must be a whole number (got a string)"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "think": 5}]"#,
                r#"clients[0].think: must be a time in quotes, such as "5s" (got a number)"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "think": "5"}]"#,
                "clients[0].think: must be a time with a unit",
            ),
            (
                r#""clients": [{"name": "a", "do": "echo", "requests": 1}]"#,
                r#"clients[0].name: "a" is taken by another host"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo"}]"#,
                "clients[0]: give requests, rate, stages, arrivals or think",
            ),
            (r#""clients": [{"name": "c", "requests": 1}]"#, "clients[0].do: is missing"),
            (
                r#""clients": [{"name": "c", "do": "ecko", "requests": 1}]"#,
                "clients[0].do: `ecko` is no action; there are connect, echo,",
            ),
            (
                r#""clients": [{"name": "c", "do": ["echo", "2*echo:early=1"], "requests": 1}]"#,
                "clients[0].do[1]: echo: `early` takes no value (got `1`)",
            ),
            (r#""clients": [{"name": "c", "do": "0*echo", "requests": 1}]"#, "clients[0].do: no action has a share"),
            (
                r#""clients": [{"name": "c", "do": "echo:target=x.test:80", "requests": 1}]"#,
                "clients[0].do: target `x.test:80`: must begin with {id}.",
            ),
            (r#""clients": [{"name": "c", "do": "echo", "rate": 0.0001}]"#, "clients[0].rate: `0.0001` is no rate"),
            (r#""clients": [{"name": "c", "do": "echo", "rate": 0}]"#, "clients[0].rate: must be above 0"),
            (
                r#""clients": [{"name": "c", "do": "echo", "stages": "5"}]"#,
                "clients[0].stages: `5`: expected RATExTIME",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "rate": 1, "think": "1s"}]"#,
                "clients[0].think: goes with none of rate, stages and arrivals",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "poisson": true}]"#,
                "clients[0].poisson: goes with rate, stages or arrivals",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "clients": 0}]"#,
                "clients[0].clients: must be 1 or more (got 0)",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "users": ["alice"]}]"#,
                "clients[0].users[0]: a user is written NAME:PASSWORD",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "timeline": [{"at": "0s", "do": "crush", "host": "a"}]"#,
                r#"timeline[0].do: "crush" is not known; did you mean "crash"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "timeline": [{"at": "0s", "do": "crash", "hst": "a"}]"#,
                r#"timeline[0].hst: unknown field; did you mean "host"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "timeline": [{"at": "0s", "do": "crash", "host": "aa"}]"#,
                r#"timeline[0].host: no host "aa"; did you mean "a"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "timeline": [{"at": "2s", "do": "drain"}]"#,
                "timeline[0].at: is behind the duration (1s)",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "network": {"loss": 2}"#,
                "network.loss: must be 1 or less (got 2)",
            ),
            (r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "proxy": {"servr": {}}"#, r#"proxy: "#),
            (r#""clients": [{"name": "c", "do": 1}]"#, "clients[0].do: must be a string or a list (got a number)"),
            (
                r#""clients": [{"name": "c", "do": "echo", "think": null}]"#,
                r#"clients[0].think: must be a time in quotes, such as "5s" (got null; leave the field out for its default)"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "clients": 5000000000}]"#,
                "clients[0].clients: must be 4294967295 or less (got 5000000000)",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "clients": 1, "clients": 2}]"#,
                "clients[0].clients: must stand only once",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo"}], "timeline": [{"at": "0s", "do": "partition", "between": ["c"]}]"#,
                "timeline[0].between: must have 2 items (got 1)",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo"}], "timeline": [{"at": "0s"}]"#,
                "timeline[0].do: is missing; known here: partition, partition-one-way,",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo"}], "expect": [{"what": "requests", "outcome": "ok", "phase": "dat"}]"#,
                r#"expect[0].phase: must be "connect", "reply", "tls" or "data" (got "dat")"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "expect": [{"what": "picks", "upstream": "b"}]"#,
                r#"expect[0].upstream: no upstream "b""#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}],
                    "expect": [{"what": "requests", "outcome": "ok", "client": "b"}]"#,
                r#"expect[0].client: no client "b""#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "through": "secnd"}], "further_proxies": {"second": {}}"#,
                r#"clients[0].through: no proxy "secnd"; did you mean "second"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "page:path=/readyz", "requests": 1, "entrance": "admin"}]"#,
                "clients[0].entrance: proxy has no admin.listen_address",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "entrance": "admin"}], "proxy": {"admin": {"listen_address": ":9100"}}"#,
                "clients[0].do: only a page can be asked for",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "proxy": {"admin": {"listen_address": ":9100"}},
                    "timeline": [{"at": "0s", "do": "reload", "proxy": {}}]"#,
                "timeline[0].proxy: admin.listen_address must stay",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "further_proxies": {"second": {"servr": {}}}"#,
                "further_proxies.second: ",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "further_proxies": {"a": {}}"#,
                r#"upstreams[0].name: "a" is taken by another host"#,
            ),
            (
                r#""clients": [{"name": "liveness-b", "do": "echo", "requests": 1}]"#,
                r#"clients[0].name: names that begin with "liveness" are"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "timeline": [{"at": "0s", "do": "drain", "host": "a"}]"#,
                r#"timeline[0].host: no proxy "a""#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}],
                    "timeline": [{"at": "0s", "do": "reload", "host": "c", "proxy": {}}]"#,
                r#"timeline[0].host: no proxy "c""#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}],
                    "timeline": [{"at": "0s", "do": "steer", "upstream": "aa", "order": "disable"}]"#,
                r#"timeline[0].upstream: no upstream "aa"; did you mean "a"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}],
                    "timeline": [{"at": "0s", "do": "steer", "upstream": "a", "order": {"weight": 10001}}]"#,
                "timeline[0].order.weight: must be 10000 or less (got 10001)",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}],
                    "timeline": [{"at": "0s", "do": "close-tunnels", "which": {"upstream": "aa"}}]"#,
                r#"timeline[0].which.upstream: no upstream "aa"; did you mean "a"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}],
                    "timeline": [{"at": "0s", "do": "close-tunnels", "which": {}}]"#,
                "timeline[0].which: at least one of upstream, user, target",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}],
                    "timeline": [{"at": "0s", "do": "close-tunnels", "which": {"usr": "a"}}]"#,
                r#"timeline[0].which.usr: unknown field; did you mean "user"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}],
                    "expect": [{"what": "picks", "proxy": "c", "upstream": "a"}]"#,
                r#"expect[0].proxy: no proxy "c""#,
            ),
        ] {
            let problems = problems(&format!("{{{HEAD}, {body}}}"));
            assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{body}\n{problems:#?}");
        }
    }

    #[test]
    fn a_plan_is_checked_in_its_own_words() {
        let text = r#"{"name": "x", "story": "x", "duration": "1s", "clients": [{"name": "c", "do": "echo", "requests": 1}],
            "upstreams": [{"name": "a", "plan": {"faults": [{"fault": "garbge"}]}}]}"#;
        let problems = problems(text);
        assert!(problems[0].starts_with("upstreams[0].plan.faults[0].fault: "), "{problems:?}");
    }

    #[test]
    fn what_is_read_is_what_is_written() {
        let text = format!(
            r#"{{{HEAD}, "clients": [{{"name": "c", "do": ["echo", "3*http:bytes=1k"], "rate": 2.5, "users": ["a:b"]}}],
            "timeline": [{{"at": "500ms", "do": "partition", "between": ["proxy", "a"]}}]}}"#
        );
        let scenario = parse(&text).unwrap();
        let written = serde_json::to_string(&scenario).unwrap();
        assert_eq!(serde_json::to_string(&parse(&written).unwrap()).unwrap(), written);
    }
}
