//! Shows people the health of the running proxy's upstreams, from the statistics.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::columns::columns;

/// What is needed of the page of statistics.
#[derive(Deserialize)]
struct Page {
    total: Window,
    /// The newest first.
    health_events: Vec<HealthEvent>,
}

#[derive(Deserialize)]
struct Window {
    upstream_metrics: Vec<Map<String, Value>>,
}

/// A change of health that the page tells of.
#[derive(Deserialize)]
struct HealthEvent {
    event: String,
    id: String,
    cause: Option<String>,
}

/// What the page of statistics says of one upstream's health.
#[derive(Deserialize)]
struct Upstream {
    id: String,
    name: String,
    weight: u32,
    enabled: bool,
    by_hand: Option<ByHand>,
    healthy: bool,
    suspected: bool,
    failures: u32,
    ejected_at: Option<String>,
    failed_probes: Option<u32>,
    probing: Option<bool>,
    probe_in_ms: Option<u64>,
    last_failure: Option<Failure>,
}

#[derive(Deserialize)]
struct ByHand {
    state: String,
}

#[derive(Deserialize)]
struct Failure {
    failure: String,
    cause: Option<String>,
    at: String,
}

/// What is passed on as JSON, beside `health`, which says all of it in one word.
const FIELDS: [&str; 12] = [
    "id",
    "name",
    "weight",
    "enabled",
    "healthy",
    "suspected",
    "failures",
    "ejected_at",
    "failed_probes",
    "probing",
    "probe_in_ms",
    "last_failure",
];

/// The table that a `page` of statistics makes.
///
/// # Errors
/// The page is not one that this version knows.
pub(super) fn table(page: &str) -> Result<String, serde_json::Error> {
    let head = ["UPSTREAM", "HEALTH", "SINCE", "FAILURES", "FAILED PROBES", "NEXT PROBE", "REASON"];
    let mut rows = vec![head.map(str::to_owned)];
    // What a peer may have written goes to a terminal.
    let shown = |text: String| text.chars().filter(|c| !c.is_control()).collect::<String>();
    let Page { total, health_events } = serde_json::from_str(page)?;
    for one in total.upstream_metrics {
        let one: Upstream = serde_json::from_value(one.into())?;
        let dash = || "-".to_owned();
        rows.push(
            [
                one.name.clone(),
                health(&one).to_owned(),
                one.ejected_at.clone().unwrap_or_else(dash),
                one.failures.to_string(),
                one.failed_probes.map_or_else(dash, |failed| failed.to_string()),
                next_probe(&one),
                reason(&one, &health_events),
            ]
            .map(shown),
        );
    }
    Ok(columns(&rows))
}

/// The same as JSON.
///
/// # Errors
/// The page is not one that this version knows.
pub(super) fn json(page: &str) -> Result<String, serde_json::Error> {
    let of = |one: Map<String, Value>| {
        let known: Upstream = serde_json::from_value(one.clone().into())?;
        let mut out = Map::from_iter([("health".to_owned(), Value::from(health(&known)))]);
        out.extend(one.into_iter().filter(|(field, _)| FIELDS.contains(&field.as_str())));
        Ok(out)
    };
    let page: Page = serde_json::from_str(page)?;
    let all: Result<Vec<_>, serde_json::Error> = page.total.upstream_metrics.into_iter().map(of).collect();
    serde_json::to_string_pretty(&all?)
}

/// In one word.
fn health(one: &Upstream) -> &'static str {
    match one {
        Upstream { enabled: false, by_hand: Some(ByHand { state }), .. } if state == "draining" => "draining",
        Upstream { enabled: false, .. } => "disabled",
        Upstream { weight: 0, .. } => "weight 0",
        Upstream { healthy: true, .. } => "healthy",
        Upstream { suspected: true, .. } => "suspected",
        _ => "ejected",
    }
}

fn next_probe(one: &Upstream) -> String {
    match (one.probing, one.probe_in_ms) {
        (Some(true), _) => "under way".to_owned(),
        (_, Some(0)) => "due".to_owned(),
        (_, Some(millis)) => {
            // Whole seconds, and none for what comes within one.
            format!("in {}", humantime::format_duration(Duration::from_secs(millis.div_ceil(1000))))
        }
        (_, None) => "-".to_owned(),
    }
}

/// Why it is out, or has failed of late.
fn reason(one: &Upstream, events: &[HealthEvent]) -> String {
    let last = |Failure { failure, cause, at }: &Failure| {
        let cause = cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
        format!("{failure}{cause} ({at})")
    };
    // Its last failure may be older than that, and another's: somebody may have taken it out by hand.
    let took_out = |event: &&HealthEvent| {
        event.id == one.id && ["suspected", "ejected", "backed_off"].contains(&event.event.as_str())
    };
    let told = || events.iter().find(took_out).and_then(|event| event.cause.clone());
    match &one.last_failure {
        _ if one.healthy && one.failures == 0 => String::new(),
        failure if one.healthy => failure.as_ref().map_or_else(String::new, last),
        failure => told().or_else(|| failure.as_ref().map(last)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{ "health_events": [
        { "at": "2026-01-02T00:00:00Z", "event": "steered", "id": "u3", "name": "asked" },
        { "at": "2026-01-02T00:00:00Z", "event": "ejected", "id": "u3", "name": "asked", "cause": "by hand" },
        { "at": "2026-01-01T00:00:00Z", "event": "ejected", "id": "u3", "name": "asked", "cause": "older" },
        { "at": "2026-01-01T00:00:00Z", "event": "ejected", "id": "u1", "name": "shaky", "cause": "it is back" },
        { "at": "2026-01-01T00:00:00Z", "event": "ejected", "id": "u4", "name": "due" }
        ], "total": { "upstream_metrics": [
        { "id": "u0", "name": "fine", "url": "http://f", "weight": 3, "enabled": true, "healthy": true, "suspected": false,
          "failures": 0, "last_failure": { "failure": "closed", "at": "2026-01-01T00:00:00Z" } },
        { "id": "u1", "name": "shaky", "weight": 3, "enabled": true, "healthy": true, "suspected": false, "failures": 2,
          "last_failure": { "failure": "status_5xx", "cause": "status 502", "at": "2026-01-02T00:00:00Z" } },
        { "id": "u2", "name": "out", "weight": 1, "enabled": true, "healthy": false, "suspected": false, "failures": 3, "probe_in_ms": 61500,
          "ejected_at": "2026-01-02T03:04:05Z", "failed_probes": 2, "probing": false,
          "last_failure": { "failure": "tls_failed", "cause": "expired\u001b[2J", "at": "2026-01-02T03:04:05Z" } },
        { "id": "u3", "name": "asked", "weight": 1, "enabled": true, "healthy": false, "suspected": true, "failures": 3, "probe_in_ms": 0,
          "ejected_at": "2026-01-02T03:04:05Z", "failed_probes": 0, "probing": true },
        { "id": "u4", "name": "due", "weight": 1, "enabled": true, "healthy": false, "suspected": false, "failures": 0, "probe_in_ms": 0,
          "ejected_at": "2026-01-02T03:04:05Z", "failed_probes": 1, "probing": false,
          "last_failure": { "failure": "closed", "at": "2026-01-02T00:00:00Z" } },
        { "id": "u5", "name": "off", "weight": 0, "enabled": false, "healthy": true, "suspected": false, "failures": 0 },
        { "id": "u6", "name": "drained", "weight": 0, "enabled": false, "healthy": true, "suspected": false, "failures": 0,
          "by_hand": { "state": "draining", "weight_in_file": 1, "enabled_in_file": true } },
        { "id": "u7", "name": "idle", "weight": 0, "enabled": true, "healthy": true, "suspected": false, "failures": 0 }
        ] } }"#;

    #[test]
    fn every_state_has_its_word_its_reason_and_its_next_probe() {
        let text = table(PAGE).unwrap();
        let cells = |line: &str| -> Vec<String> {
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
        };
        let rows: Vec<_> = text.lines().map(cells).collect();
        let expected = [
            &["UPSTREAM", "HEALTH", "SINCE", "FAILURES", "FAILED PROBES", "NEXT PROBE", "REASON"][..],
            &["fine", "healthy", "-", "0", "-", "-"],
            &["shaky", "healthy", "-", "2", "-", "-", "status_5xx: status 502 (2026-01-02T00:00:00Z)"],
            &[
                "out",
                "ejected",
                "2026-01-02T03:04:05Z",
                "3",
                "2",
                "in 1m 2s",
                "tls_failed: expired[2J (2026-01-02T03:04:05Z)",
            ],
            &["asked", "suspected", "2026-01-02T03:04:05Z", "3", "0", "under way", "by hand"],
            &["due", "ejected", "2026-01-02T03:04:05Z", "0", "1", "due", "closed (2026-01-02T00:00:00Z)"],
            &["off", "disabled", "-", "0", "-", "-"],
            &["drained", "draining", "-", "0", "-", "-"],
            &["idle", "weight 0", "-", "0", "-", "-"],
        ];
        assert_eq!(rows, expected, "{text}");
    }

    #[test]
    fn as_json_it_is_a_list_with_one_word_for_each() {
        let list: Vec<Value> = serde_json::from_str(&json(PAGE).unwrap()).unwrap();
        let words: Vec<&str> = list.iter().map(|one| one["health"].as_str().unwrap()).collect();
        let expected = ["healthy", "healthy", "ejected", "suspected", "ejected", "disabled", "draining", "weight 0"];
        assert_eq!(words, expected);
        let [first, _, out, ..] = &list[..] else { panic!("{list:?}") };
        assert_eq!(
            (&first["id"], first.get("url")),
            (&Value::from("u0"), None),
            "what is not about health is left out"
        );
        assert_eq!(out["last_failure"]["failure"], "tls_failed");
        assert_eq!((&out["failed_probes"], &out["probe_in_ms"]), (&Value::from(2), &Value::from(61_500)));
    }

    #[test]
    fn another_page_is_refused() {
        for page in ["{}", "[]", "", r#"{ "total": { "upstream_metrics": [{}] } }"#] {
            assert!(table(page).is_err() && json(page).is_err(), "{page}");
        }
    }
}
