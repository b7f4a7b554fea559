//! A text is read as a scenario, or all its problems are named, each with its place and what to write instead.

use std::path::Path;

use serde_json::Value as Json;

use super::meaning::meaning;
use super::problem::Problem;
use super::scale::scale;
use super::shape::check;
use crate::scenario::file::{Scenario, schema};

/// Reads the file at `path`.
///
/// # Errors
/// All that is wrong with it.
pub fn load(path: &Path) -> Result<Scenario, Vec<Problem>> {
    load_scaled(path, 1.0)
}

/// Reads the file at `path`, with every length of time multiplied by `factor`.
///
/// # Errors
/// All that is wrong with it; what can't be scaled by that.
pub fn load_scaled(path: &Path, factor: f64) -> Result<Scenario, Vec<Problem>> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| vec![Problem::at("", format!("can't read the file: {error}"))])?;
    parse_scaled(&text, factor)
}

/// Reads a scenario.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(text: &str) -> Result<Scenario, Vec<Problem>> {
    parse_scaled(text, 1.0)
}

fn parse_scaled(text: &str, factor: f64) -> Result<Scenario, Vec<Problem>> {
    let mut json: Json =
        serde_json::from_str(text).map_err(|error| vec![Problem::at("", format!("not JSON: {error}"))])?;
    let problems = check(schema().as_value(), &json);
    if !problems.is_empty() {
        return Err(problems);
    }
    if factor != 1.0 {
        scale(&mut json, factor)?;
    }
    let scenario: Scenario = serde_json::from_value(json).map_err(|error| vec![Problem::at("", error.to_string())])?;
    let problems = meaning(&scenario);
    if problems.is_empty() { Ok(scenario) } else { Err(problems) }
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
                r#"clients[0].requests: must be an integer (got "1")"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "think": 5}]"#,
                "clients[0].think: must be a text (got 5)",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "think": "5"}]"#,
                "clients[0].think: must be a time with a unit",
            ),
            (
                r#""clients": [{"name": "a", "do": "echo", "requests": 1}]"#,
                r#"clients[0].name: "a" is taken by another host"#,
            ),
            (r#""clients": [{"name": "c", "do": "echo"}]"#, "clients[0]: give requests, rate, stages or think"),
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
                "clients[0].think: does not go with rate or stages",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "poisson": true}]"#,
                "clients[0].poisson: goes with rate or stages",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "clients": 0}]"#,
                "clients[0].clients: must be at least 1",
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
                "network.loss: must be from 0 to 1",
            ),
            (r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "proxy": {"servr": {}}"#, r#"proxy: "#),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "expect": [{"what": "picks", "upstream": "b"}]"#,
                r#"expect[0].upstream: no upstream "b""#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}],
                    "expect": [{"what": "requests", "outcome": "ok", "client": "b"}]"#,
                r#"expect[0].client: no client "b""#,
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
        assert!(problems[0].starts_with("upstreams[0].plan: faults[0].fault"), "{problems:?}");
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
