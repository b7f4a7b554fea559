//! Nothing of what a log and a configuration say of people and places gets into a recording.

use std::fs;

use serde_json::{Value as Json, json};
use simulator::incident::{Key, record};

/// What must not get through, in upper and lower case.
const SECRET: &str = "s3cret";

/// A line of each event, with the secret in every text that a peer or an operator can fill.
fn lines() -> String {
    let mut text = String::new();
    let mut put =
        |millis: u64, fields: Json| text.push_str(&crate::log::line(std::time::Duration::from_millis(millis), fields));
    let upstream = json!({ "id": "u1", "name": "S3CRET", "upstream": "http://s3cret.example:3128" });
    let with = |more: Json| {
        let mut line = upstream.clone();
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    put(
        0,
        json!({ "event": "started", "name": "S3CRET", "listen": "10.3.3.7:1", "config": "/S3CRET", "message": "S3CRET" }),
    );
    for request in 1..40_u64 {
        put(
            request * 100,
            json!({ "event": "pick_made", "request": request, "attempt": 0, "epoch": 0, "id": "u1", "probe": false }),
        );
        put(
            request * 100,
            json!({ "event": "attempt_ended", "request": request, "id": "u1", "failure": "status_5xx", "cause": "status 503: S3CRET", "took_ms": 3.0 }),
        );
        put(request * 100, json!({ "event": "verdict", "request": request, "success": true }));
        put(
            request * 100 + 9,
            json!({
                "event": "finished", "request": request, "client": "10.3.3.7:5", "user": "S3CRET", "method": "CONNECT",
                "target": "s3cret.example:443", "status": 200, "outcome": "ok", "id": "u0", "name": "S3CRET", "upstream": "http://s3cret:80",
                "tag": "S3CRET", "attempts": 2, "failed": "http://s3cret.example:3128=status_5xx", "failed_ids": "u1",
                "failed_causes": "S3CRET", "cause": "S3CRET", "bytes_up": 10, "bytes_down": 10, "latency_ms": 6.0, "duration_ms": 9.0,
            }),
        );
    }
    let dead = json!({
        "event": "finished", "request": 50, "client": "10.3.3.7:5", "method": "S3CRET", "target": "s3cret.dead:443", "status": 502,
        "outcome": "status_5xx", "blame": "target", "upstream": "http://s3cret:80", "attempts": 1, "failed": "http://s3cret:80=status_5xx",
        "bytes_up": 0, "bytes_down": 0, "latency_ms": 6.0, "duration_ms": 9.0,
    });
    put(5000, dead);
    put(5100, with(json!({ "event": "ejected", "failures": 3, "cause": "S3CRET", "probe_in_ms": 2000.0 })));
    put(5200, with(json!({ "event": "backed_off", "cause": "S3CRET", "probe_in_ms": 2000.0 })));
    put(5300, with(json!({ "event": "recovered", "after_ms": 2000.0 })));
    put(5350, json!({ "event": "probe_asked", "id": "u1", "target": "s3cret.example:443" }));
    let changes = "upstream http://s3cret.new:1 added, weight 2; server.name: \"a\" → \"S3CRET\"; user \"S3CRET\" added; timeouts.connect: 1s → 2s";
    put(5400, json!({ "event": "reloaded", "config_epoch": 2, "changes": changes, "restart_required": "S3CRET" }));
    put(5500, with(json!({ "event": "steered", "change": "upstream S3CRET weight 1 → 2", "uid": 1 })));
    put(5600, json!({ "event": "tunnels_closed", "filter": "user \"S3CRET\"", "closed": 1, "uid": 1 }));
    put(5700, json!({ "event": "reload_failed", "message": "not reloaded:\nS3CRET" }));
    put(5800, json!({ "event": "accept_failed", "error": "S3CRET" }));
    put(5900, json!({ "event": "S3CRET", "message": "S3CRET" }));
    put(5950, json!({ "event": "finished", "outcome": "S3CRET" }));
    put(6000, json!({ "event": "drain_started", "open": 1 }));
    put(6100, json!({ "event": "drained", "reset": 0 }));
    text.push_str("S3CRET {\"S3CRET\": \n");
    text
}

#[test]
fn no_name_user_address_or_secret_gets_into_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S3CRET.log");
    fs::write(&path, lines()).unwrap();
    let config = r#"{ "server": { "name": "S3CRET", "via": "S3CRET" },
        "authentication": { "enabled": true, "realm": "S3CRET", "users": [{ "username": "S3CRET", "password": "S3CRET" }] },
        "upstream_proxies": [
            { "url": "http://S3CRET:S3CRET@s3cret:80", "tag": "S3CRET", "note": "S3CRET", "connect_headers": { "X": "S3CRET" } },
            { "url": "http://s3cret.example:3128" }], "health_check": { "endpoints": ["s3cret.example:443"] } }"#;
    let key = Key::new(b"the key of this test").unwrap();
    let recording = record(&[path], config.as_bytes(), &key, 100, |_| {}).unwrap();
    let shown = recording.text.to_lowercase();
    for secret in [SECRET, "10.3.3.7", "the key of"] {
        let place = shown.find(secret);
        assert_eq!(
            place,
            None,
            "{secret}: {}",
            &shown[place.unwrap_or(0).saturating_sub(200)..place.unwrap_or(0) + 20]
        );
    }
    // What may be told is there, so that it was not merely left out.
    let scenario = &recording.scenario;
    let user = key_of_user(&recording.text);
    assert!(
        scenario.clients.iter().any(|one| one.users.iter().any(|written| written.text() == format!("{user}:replaced")))
    );
    let seen = scenario.seen.as_ref().unwrap();
    assert_eq!((seen.requests, seen.failed, seen.turns.len()), (40, 1, 2));
    assert_eq!(seen.failures["status_5xx"], 40);
    assert!(recording.text.contains("\"status\": 503"), "the one thing that is read of a cause");
    let reloads = scenario
        .timeline
        .iter()
        .filter(|entry| recording.text.contains("2s") && format!("{entry:?}").contains("Reload"));
    assert_eq!(reloads.count(), 3, "the reload, what was set by hand, and the one that was refused");
}

/// The one user of the replayed proxy.
fn key_of_user(text: &str) -> String {
    let json: Json = serde_json::from_str(text).unwrap();
    json["proxy"]["authentication"]["users"][0]["username"].as_str().unwrap().to_owned()
}
