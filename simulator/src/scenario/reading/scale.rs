//! Scales a scenario: multiplies every length of time in it by a factor.

use std::time::Duration;

use loadgen::{ActionKind, ActionShare, Stage, Stages};
use proxy::config::Problems;
use proxy::config::text::join;
use serde_json::{Map, Value as Json};

/// Fields that never hold a length of time, even if their text looks like one.
const NAMES: &[&str] = &[
    "$schema",
    "name",
    "story",
    "parity",
    "catches",
    "host",
    "hosts",
    "between",
    "user",
    "target",
    "upstream",
    "client",
    "through",
    "proxy",
    "fault",
    "id",
    "with",
    "event",
    "target",
    "url",
    "tag",
    "note",
    "username",
    "password",
    "auth",
    "credentials",
    "text",
    "realm",
    "endpoints",
    "tick",
    "by",
];

/// Multiplies every length of time in a scenario by `factor`: texts such as "250ms", whole seconds of the proxy's
/// configuration, and what loadgen's notation writes. Rates are divided by it. What is left out keeps its default. The
/// step of the simulated clock, jumps of the wall clock and bandwidths stay. Whole seconds that would not be whole any
/// more are problems.
pub(super) fn scale(scenario: &mut Json, factor: f64, problems: &mut Problems) {
    for client in scenario.get_mut("clients").and_then(Json::as_array_mut).into_iter().flatten() {
        if let Some(client) = client.as_object_mut() {
            load(client, factor);
        }
    }
    visit(scenario, "", factor, problems);
}

/// Scales what a client writes in loadgen's notation. Rates grow as times shrink, so that the number of requests stays the same.
fn load(client: &mut Map<String, Json>, factor: f64) {
    if let Some(rate) = client.get_mut("rate")
        && let Some(number) = rate.as_f64()
    {
        let thousandths = (number * 1e3 / factor).round();
        *rate = if thousandths % 1e3 == 0.0 {
            Json::from((thousandths / 1e3) as u64)
        } else {
            Json::from(thousandths / 1e3)
        };
    }
    if let Some(Json::String(text)) = client.get_mut("stages")
        && let Ok(Stages(stages)) = text.parse()
    {
        *text = stages.iter().map(|stage| stage_text(stage, factor)).collect::<Vec<_>>().join(",");
    }
    match client.get_mut("do") {
        Some(Json::String(text)) => *text = action_text(text, factor),
        Some(Json::Array(several)) => {
            for one in several {
                if let Json::String(text) = one {
                    *text = action_text(text, factor);
                }
            }
        }
        _ => {}
    }
}

fn stage_text(stage: &Stage, factor: f64) -> String {
    let rate = |thousandths: u64| (thousandths as f64 / factor).round() / 1e3;
    let span = humantime::format_duration(times(stage.span, factor)).to_string().replace(' ', "");
    format!("{}..{}x{span}", rate(stage.from), rate(stage.to))
}

/// Scales an action. A text that is not an action has been refused already, so it is returned unchanged.
fn action_text(text: &str, factor: f64) -> String {
    let Ok(ActionShare { share, mut action }) = text.parse() else { return text.to_owned() };
    match &mut action.kind {
        ActionKind::Download { wait, bytes: _, send: _ } => *wait = times(*wait, factor),
        ActionKind::Hold { span, every, bytes: _ } => (*span, *every) = (times(*span, factor), times(*every, factor)),
        ActionKind::Http { exchange, .. } => {
            // How long `http.mock` is to take (mock-upstreams/README.md).
            if let Some(Ok(millis)) = exchange.path.strip_prefix("/delay/").map(str::parse) {
                exchange.path = format!("/delay/{}", times(Duration::from_millis(millis), factor).as_millis());
            }
        }
        // None has a length of time. Named, so that a new one is not forgotten here.
        ActionKind::Connect
        | ActionKind::Echo { .. }
        | ActionKind::Upload { .. }
        | ActionKind::Page { .. }
        | ActionKind::Websocket { .. }
        | ActionKind::Abuse { .. }
        | ActionKind::Tls { .. } => {}
    }
    if let Some(throttle) = &mut action.throttle {
        throttle.every = times(throttle.every, factor);
    }
    format!("{share}*{action}")
}

fn visit(json: &mut Json, path: &str, factor: f64, problems: &mut Problems) {
    match json {
        Json::Object(object) => fields(object, path, factor, problems),
        Json::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                visit(item, &format!("{path}[{index}]"), factor, problems);
            }
        }
        Json::String(text) => {
            if let Ok(length) = humantime::parse_duration(text) {
                *text = humantime::format_duration(times(length, factor)).to_string();
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn fields(object: &mut Map<String, Json>, path: &str, factor: f64, problems: &mut Problems) {
    let one_way = object.get("do").and_then(Json::as_str) == Some("partition-one-way");
    for (name, value) in object.iter_mut() {
        let is_name = NAMES.contains(&name.as_str()) || (one_way && (name == "from" || name == "to"));
        let path = join(path, name);
        match value.as_u64() {
            Some(seconds) if name.ends_with("_seconds") || name == "upstream_timeout" => {
                let scaled = seconds as f64 * factor;
                if scaled < 1.0 || scaled.fract() != 0.0 {
                    let text =
                        format!("is in whole seconds, and {seconds} times {factor} is {scaled}; choose another scale");
                    problems.add(path, text);
                } else {
                    *value = Json::from(scaled as u64);
                }
            }
            // The field `with` is a text to look for in an expectation, and an object of settings in a fault. The field `proxy` names a
            // host in an expectation, and is a configuration elsewhere.
            _ if is_name && !value.is_object() => {}
            _ if name == "connect_headers" => {}
            _ => visit(value, &path, factor, problems),
        }
    }
}

/// Multiplies, and rounds to microseconds.
fn times(length: Duration, factor: f64) -> Duration {
    Duration::from_micros((length.as_secs_f64() * factor * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_length_of_time_is_scaled_and_nothing_else() {
        let mut scenario = json!({
            "name": "5s", "duration": "20s", "network": { "tick": "1ms", "latency": "4ms" },
            "proxy": { "health_check": { "interval_seconds": 4, "backoff_base": "2s", "failure_threshold": 3 },
                       "upstream_proxies": [{ "url": "http://a:8080", "note": "1m" }] },
            "upstreams": [{ "name": "1h", "latency": "1s",
                            "plan": { "faults": [{ "fault": "x", "when": { "from": "2s" }, "with": { "up": "10ms" } }] } }],
            "clients": [{ "name": "c", "rate": 10, "requests": 5, "do": ["hold:for=2s,bytes=10", "2*echo:slow=9/100ms", "http:path=/delay/2000", "download:bytes=9,wait=2s"] },
                        { "name": "d", "through": "2h", "stages": "1x10s,1..2.5x20s", "timeout": "4s", "do": "echo:bytes=10k" }],
            "timeline": [{ "at": "3s", "do": "crash", "host": "1h" },
                         { "at": "4s", "do": "partition-one-way", "from": "1h", "to": "c" },
                         { "at": "4s", "do": "clock-jump", "by": "1h" },
                         { "at": "5s", "do": "reload", "proxy": { "timeouts": { "connect": "1s" } } }],
            "expect": [{ "what": "turn", "proxy": "2h", "upstream": "1h", "after": "3s", "within": "2s" }],
            "further_proxies": { "2h": { "timeouts": { "connect": "4s" } } }
        });
        let mut problems = Problems::in_file("x");
        scale(&mut scenario, 0.25, &mut problems);
        assert!(problems.is_empty(), "{problems}");
        let wanted = json!({
            "name": "5s", "duration": "5s", "network": { "tick": "1ms", "latency": "1ms" },
            "proxy": { "health_check": { "interval_seconds": 1, "backoff_base": "500ms", "failure_threshold": 3 },
                       "upstream_proxies": [{ "url": "http://a:8080", "note": "1m" }] },
            "upstreams": [{ "name": "1h", "latency": "250ms",
                            "plan": { "faults": [{ "fault": "x", "when": { "from": "500ms" }, "with": { "up": "2ms 500us" } }] } }],
            "clients": [{ "name": "c", "rate": 40, "requests": 5,
                          "do": ["1*hold:target={id}.echo.mock:80,for=500ms,every=1s 250ms,bytes=10",
                                 "2*echo:target={id}.echo.mock:80,rounds=1,bytes=64,slow=9/25ms",
                                 "1*http:target={id}.http.mock:80,method=GET,path=/delay/500",
                                 "1*download:target={id}.n9.source.mock:80,bytes=9,wait=500ms"] },
                        { "name": "d", "through": "2h", "stages": "4..4x2s500ms,4..10x5s", "timeout": "1s",
                          "do": "1*echo:target={id}.echo.mock:80,rounds=1,bytes=10240" }],
            "timeline": [{ "at": "750ms", "do": "crash", "host": "1h" },
                         { "at": "1s", "do": "partition-one-way", "from": "1h", "to": "c" },
                         { "at": "1s", "do": "clock-jump", "by": "1h" },
                         { "at": "1s 250ms", "do": "reload", "proxy": { "timeouts": { "connect": "250ms" } } }],
            "expect": [{ "what": "turn", "proxy": "2h", "upstream": "1h", "after": "750ms", "within": "500ms" }],
            "further_proxies": { "2h": { "timeouts": { "connect": "1s" } } }
        });
        assert_eq!(scenario, wanted);
    }

    #[test]
    fn seconds_that_would_not_be_whole_are_refused_with_their_place() {
        let mut scenario = json!({ "proxy": { "health_check": { "interval_seconds": 1 }, "upstream_timeout": 8 } });
        let mut problems = Problems::in_file("x");
        scale(&mut scenario, 0.25, &mut problems);
        assert_eq!(problems.len(), 1);
        let text = problems.iter().next().unwrap().to_string();
        assert!(text.starts_with("proxy.health_check.interval_seconds: ") && text.contains("0.25"), "{text}");
    }
}
