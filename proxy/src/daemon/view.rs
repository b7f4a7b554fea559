//! Shows people what the running proxy has counted, and its open tunnels.

mod columns;
mod health;
pub mod story;

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::cli::View;
use columns::columns;

/// What the table needs of the page of statistics.
#[derive(Deserialize)]
struct Page {
    total: Window,
    recent_15m: Window,
}

#[derive(Deserialize)]
struct Window {
    upstream_metrics: Vec<Upstream>,
}

#[derive(Deserialize)]
struct Upstream {
    name: String,
    weight: u32,
    enabled: bool,
    by_hand: Option<ByHand>,
    healthy: bool,
    failures: u32,
    probe_in_ms: Option<u64>,
    current_connections: u64,
    total_requests: u64,
    failed_requests: u64,
    latency_p99_ms: f64,
    last_failure: Option<Failure>,
}

/// What the file says of one that was set otherwise by hand.
#[derive(Deserialize)]
struct ByHand {
    state: String,
    weight_in_file: u32,
    enabled_in_file: bool,
}

#[derive(Deserialize)]
struct Failure {
    failure: String,
    cause: Option<String>,
    at: String,
}

/// The list of open tunnels.
#[derive(Deserialize)]
struct TunnelsPage {
    more: usize,
    tunnels: Vec<Tunnel>,
}

#[derive(Deserialize)]
struct Tunnel {
    request: u64,
    client: String,
    user: Option<String>,
    name: Option<String>,
    target: String,
    age_ms: f64,
    idle_ms: f64,
    bytes_up: u64,
    bytes_down: u64,
}

/// The part of a `page` that is asked for: of the list of tunnels where that is asked for, else of the statistics.
///
/// # Errors
/// The page is not one that this version knows.
pub fn show(view: View, page: &str) -> Result<String, serde_json::Error> {
    match view {
        View::Statistics | View::TunnelsAsJson => Ok(page.to_owned()),
        View::UpstreamsAsJson => {
            let page: Value = serde_json::from_str(page)?;
            serde_json::to_string_pretty(&page["total"]["upstream_metrics"])
        }
        View::Upstreams => serde_json::from_str(page).map(|page| table(&page)),
        View::Tunnels => serde_json::from_str(page).map(tunnels),
        View::Health => health::table(page),
        View::HealthAsJson => health::json(page),
    }
}

const HEADS: [&str; 9] =
    ["UPSTREAM", "STATE", "WEIGHT", "SHARE 15m", "NOW", "ATTEMPTS", "FAILED", "P99 15m", "LAST FAILURE"];

fn table(page: &Page) -> String {
    let recent = &page.recent_15m.upstream_metrics;
    let all: u64 = recent.iter().map(|one| one.total_requests).sum();
    let mut rows = vec![HEADS.map(str::to_owned)];
    for (total, recent) in page.total.upstream_metrics.iter().zip(recent) {
        let share = if all == 0 { 0.0 } else { 100.0 * recent.total_requests as f64 / all as f64 };
        rows.push([
            total.name.clone(),
            state(total),
            weight(total),
            format!("{share:.1} %"),
            total.current_connections.to_string(),
            total.total_requests.to_string(),
            total.failed_requests.to_string(),
            format!("{:.1} ms", recent.latency_p99_ms),
            total.last_failure.as_ref().map_or_else(String::new, failure),
        ]);
    }
    columns(&rows)
}

fn tunnels(page: TunnelsPage) -> String {
    if page.tunnels.is_empty() {
        return "no tunnel is open\n".to_owned();
    }
    let head = ["REQUEST", "CLIENT", "USER", "UPSTREAM", "TARGET", "AGE", "IDLE", "BYTES UP", "BYTES DOWN"];
    let mut rows = vec![head.map(str::to_owned)];
    // What a peer may have written goes to a terminal.
    let shown = |text: String| text.chars().filter(|c| !c.is_control()).collect();
    let or_dash = |text: Option<String>| text.map_or_else(|| "-".to_owned(), shown);
    // Whole seconds.
    let span = |millis: f64| humantime::format_duration(Duration::from_secs((millis / 1e3) as u64)).to_string();
    for one in page.tunnels {
        rows.push([
            one.request.to_string(),
            one.client,
            or_dash(one.user),
            or_dash(one.name),
            shown(one.target),
            span(one.age_ms),
            span(one.idle_ms),
            one.bytes_up.to_string(),
            one.bytes_down.to_string(),
        ]);
    }
    let mut text = columns(&rows);
    if page.more > 0 {
        // Writing to a string does not fail.
        let _ = writeln!(text, "and {} more", page.more);
    }
    text
}

/// With what the file says, where that is something else.
fn weight(one: &Upstream) -> String {
    let file = one.by_hand.as_ref().map(|by_hand| by_hand.weight_in_file);
    match file.filter(|file| one.enabled && *file != one.weight) {
        Some(file) => format!("{} (file: {file})", one.weight),
        None => one.weight.to_string(),
    }
}

/// With what the file says, where that is something else.
fn state(one: &Upstream) -> String {
    let health = health(one);
    match &one.by_hand {
        Some(ByHand { state, enabled_in_file, .. }) if !one.enabled => {
            let file = if *enabled_in_file { "enabled" } else { "disabled" };
            if state == file { state.clone() } else { format!("{state} (file: {file})") }
        }
        Some(ByHand { enabled_in_file: false, .. }) => format!("{health} (file: disabled)"),
        _ => health,
    }
}

fn health(one: &Upstream) -> String {
    match (one.enabled, one.healthy, one.probe_in_ms) {
        (false, ..) => "disabled".to_owned(),
        (_, true, _) if one.failures == 0 => "healthy".to_owned(),
        (_, true, _) => format!("healthy, {} failed", one.failures),
        (_, false, Some(millis)) => format!("ejected, probe in {:.1} s", millis as f64 / 1000.0),
        (_, false, None) => "ejected".to_owned(),
    }
}

fn failure(last: &Failure) -> String {
    let Failure { failure, cause, at } = last;
    let cause = cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
    // What a peer may have written goes to a terminal.
    format!("{at} {failure}{cause}").chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{
        "total": { "upstream_metrics": [
            { "name": "http://a", "weight": 3, "enabled": true, "healthy": true, "failures": 0, "current_connections": 2,
              "total_requests": 30, "failed_requests": 0, "latency_p99_ms": 9.0 },
            { "name": "http://long.test", "weight": 1, "enabled": true, "healthy": false, "failures": 3, "probe_in_ms": 1500,
              "current_connections": 0, "total_requests": 10, "failed_requests": 3, "latency_p99_ms": 0.0,
              "last_failure": { "failure": "tls_failed", "cause": "expired\u001b[2J", "at": "2026-01-02T03:04:05Z" } },
            { "name": "http://off", "weight": 1, "enabled": false, "healthy": true, "failures": 0, "current_connections": 0,
              "total_requests": 0, "failed_requests": 0, "latency_p99_ms": 0.0 } ] },
        "recent_15m": { "upstream_metrics": [
            { "name": "http://a", "weight": 3, "enabled": true, "healthy": true, "failures": 0, "current_connections": 2,
              "total_requests": 3, "failed_requests": 0, "latency_p99_ms": 4.25 },
            { "name": "http://long.test", "weight": 1, "enabled": true, "healthy": false, "failures": 3,
              "current_connections": 0, "total_requests": 1, "failed_requests": 1, "latency_p99_ms": 0.0 },
            { "name": "http://off", "weight": 1, "enabled": false, "healthy": true, "failures": 0, "current_connections": 0,
              "total_requests": 0, "failed_requests": 0, "latency_p99_ms": 0.0 } ] } }"#;

    #[test]
    fn upstreams_stand_in_columns_and_nothing_of_them_moves_the_cursor() {
        let shown = show(View::Upstreams, PAGE).unwrap();
        let expected = "\
UPSTREAM          STATE                  WEIGHT  SHARE 15m  NOW  ATTEMPTS  FAILED  P99 15m  LAST FAILURE
http://a          healthy                3       75.0 %     2    30        0       4.2 ms
http://long.test  ejected, probe in 1.5 s  1       25.0 %     0    10        3       0.0 ms   2026-01-02T03:04:05Z tls_failed: expired[2J
http://off        disabled               1       0.0 %      0    0         0       0.0 ms
";
        let squeezed = |text: &str| -> Vec<Vec<String>> {
            text.lines()
                .map(|line| {
                    line.split("  ").filter(|word| !word.is_empty()).map(|word| word.trim().to_owned()).collect()
                })
                .collect()
        };
        assert_eq!(squeezed(&shown), squeezed(expected), "{shown}");
        let column = |line: &str, word: &str| line.find(word).unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(column(lines[0], "STATE"), column(lines[3], "disabled"), "{shown}");
        assert_eq!(column(lines[0], "LAST FAILURE"), column(lines[2], "2026-"), "{shown}");
    }

    #[test]
    fn tunnels_stand_in_columns_and_the_rest_is_counted() {
        let page = r#"{ "open": 1001, "more": 1000, "tunnels": [
            { "request": 7, "client": "127.0.0.1:5", "user": "u", "name": "a", "target": "t:1\u001b[2J", "age_ms": 65200.5,
              "idle_ms": 999.9, "bytes_up": 12, "bytes_down": 0 } ] }"#;
        let expected = "\
REQUEST  CLIENT       USER  UPSTREAM  TARGET   AGE    IDLE  BYTES UP  BYTES DOWN
7        127.0.0.1:5  u     a         t:1[2J  1m 5s  0s    12        0
and 1000 more
";
        let shown = show(View::Tunnels, page).unwrap();
        assert_eq!(shown.replace(' ', ""), expected.replace(' ', ""), "{shown}");
        let column = |line: &str, word: &str| line.find(word).unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(column(lines[0], "AGE"), column(lines[1], "1m 5s"), "{shown}");
        assert_eq!(show(View::TunnelsAsJson, page).unwrap(), page);
        let none = r#"{ "open": 0, "more": 0, "tunnels": [] }"#;
        assert_eq!(show(View::Tunnels, none).unwrap(), "no tunnel is open\n");
    }

    #[test]
    fn json_is_passed_on_as_it_is_or_in_part() {
        assert_eq!(show(View::Statistics, PAGE).unwrap(), PAGE);
        let list: Value = serde_json::from_str(&show(View::UpstreamsAsJson, PAGE).unwrap()).unwrap();
        assert_eq!(list.as_array().map(Vec::len), Some(3));
        assert!(show(View::Upstreams, "{}").is_err());
    }
}
