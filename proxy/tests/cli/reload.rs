//! Tests live reload: every way in which a file changes, and every way in which it is bad.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Place, Running, assert_open, echo, page, tunnel, tunnel_with};

/// The weight in force.
fn weight(place: &Place) -> u64 {
    page(place.address, "/stats")["total"]["upstream_metrics"][0]["weight"].as_u64().unwrap()
}

fn set_weight(place: &mut Place, weight: u64) {
    place.config["upstream_proxies"][0]["weight"] = json!(weight);
}

#[test]
fn written_in_place() {
    let mut place = Place::new();
    let mut proxy = place.start();
    for weight_now in [5, 6] {
        set_weight(&mut place, weight_now);
        place.write();
        let line = proxy.line("configuration reloaded");
        assert!(line.contains("weight") && line.contains(&weight_now.to_string()), "tells what changed: {line}");
        assert_eq!(weight(&place), weight_now);
    }
}

#[test]
fn renamed_over_as_editors_do() {
    let mut place = Place::new();
    let mut proxy = place.start();
    for weight_now in [5, 6] {
        set_weight(&mut place, weight_now);
        fs::write(place.path(".proxy.json.swp"), place.config.to_string()).unwrap();
        fs::rename(place.path(".proxy.json.swp"), place.file()).unwrap();
        proxy.line("configuration reloaded");
        assert_eq!(weight(&place), weight_now);
    }
}

#[test]
fn a_mounted_config_map_swaps_its_folder() {
    let mut place = Place::new();
    let publish = |place: &Place, name: &str| {
        fs::create_dir(place.path(name)).unwrap();
        fs::write(place.path(name).join("proxy.json"), place.config.to_string()).unwrap();
        symlink(name, place.path("..data_tmp")).unwrap();
        fs::rename(place.path("..data_tmp"), place.path("..data")).unwrap();
    };
    publish(&place, "..2026_01");
    symlink("..data/proxy.json", place.file()).unwrap();
    let mut proxy = Running::spawn(place.folder.path(), &place.file());
    proxy.line("listen=");
    for (weight_now, name, old) in [(5, "..2026_02", "..2026_01"), (6, "..2026_03", "..2026_02")] {
        set_weight(&mut place, weight_now);
        publish(&place, name);
        fs::remove_dir_all(place.path(old)).unwrap();
        proxy.line("configuration reloaded");
        assert_eq!(weight(&place), weight_now);
    }
}

#[test]
fn a_hangup_reads_it_again_changed_or_not() {
    let place = Place::new();
    let mut proxy = place.start();
    proxy.signal(Signal::HUP);
    let line = proxy.line("configuration reloaded");
    assert!(line.contains("config_epoch=2"), "{line}");
    proxy.signal(Signal::HUP);
    let line = proxy.line("configuration reloaded");
    assert!(line.contains("config_epoch=3"), "{line}");
}

#[test]
fn a_pipe_is_read_again_only_when_that_is_asked_for() {
    let mut place = Place::new();
    rustix::fs::mknodat(rustix::fs::CWD, place.file(), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    // Opening it waits for the other side.
    let give = |place: &Place| {
        let (pipe, text) = (place.file(), place.config.to_string());
        std::thread::spawn(move || fs::write(pipe, text).unwrap())
    };
    let given = give(&place);
    let mut proxy = Running::spawn(place.folder.path(), &place.file());
    proxy.line("proxy.json is no regular file");
    proxy.line("listen=");
    given.join().unwrap();
    set_weight(&mut place, 5);
    proxy.signal(Signal::HUP);
    let given = give(&place);
    let line = proxy.line("configuration");
    assert!(line.contains("reloaded config_epoch=2"), "{line}");
    given.join().unwrap();
    assert_eq!((weight(&place), page(place.address, "/healthz")["reloads"].as_u64()), (5, Some(1)));
}

#[test]
fn a_file_that_it_refers_to_counts_also_one_named_later_or_missing_at_first() {
    let mut place = Place::before(echo());
    fs::write(place.path("password"), "one\n").unwrap();
    place.config["authentication"] =
        json!({ "enabled": true, "users": [{ "username": "u", "password": "${file:password}" }] });
    let mut proxy = place.start();
    let ask = |password: &str| {
        let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("u:{password}"));
        tunnel_with(place.address, &format!("Proxy-Authorization: Basic {basic}\r\n")).0
    };
    assert_eq!((ask("one"), ask("two")), (200, 407));
    fs::write(place.path("password"), "two\n").unwrap();
    proxy.line("configuration reloaded");
    assert_eq!((ask("one"), ask("two")), (407, 200));

    let mut config = place.config.clone();
    config["authentication"]["users"][0]["password"] = json!("${file:secrets}");
    fs::write(place.file(), config.to_string()).unwrap();
    proxy.line("authentication.users[0].password: can't read the file \"secrets\"");
    assert_eq!(ask("two"), 200, "the old one stays");
    fs::write(place.path("secrets"), "three").unwrap();
    proxy.line("configuration reloaded");
    assert_eq!((ask("two"), ask("three")), (407, 200));
    // And it is watched from then on.
    fs::write(place.path("secrets"), "four").unwrap();
    proxy.line("configuration reloaded");
    assert_eq!((ask("three"), ask("four")), (407, 200));
}

#[test]
fn a_bad_file_changes_nothing_and_says_why_until_it_is_good() {
    let mut place = Place::before(echo());
    let mut proxy = place.start();
    let good = place.config.to_string();
    let half = &good[..good.len() / 2];
    let huge = " ".repeat(17 * 1024 * 1024);
    for (bad, why) in [
        (half, "line 1, column"),
        ("", "not reloaded"),
        ("{}", "upstream_proxies: "),
        ("\u{0}\u{1}", "line 1, column 1"),
        (&huge, "larger than"),
    ] {
        // In one step: written in place it could be read half-way, and said to be bad for another reason.
        fs::write(place.path("bad.json"), bad).unwrap();
        fs::rename(place.path("bad.json"), place.file()).unwrap();
        proxy.line("not reloaded");
        let stats = page(place.address, "/stats");
        let told = stats["reload_error"].as_str().unwrap_or_default();
        assert!(why == "not reloaded" || told.contains(why), "{why}: {told}");
        assert_eq!(stats["config_epoch"], 1);
        let health = page(place.address, "/healthz");
        assert_eq!((&health["status"], &health["reload_failed"]), (&json!("ok"), &json!(true)));
        assert_open(&mut tunnel(place.address));
    }
    fs::remove_file(place.file()).unwrap();
    proxy.line("can't read the file");
    set_weight(&mut place, 4);
    place.write();
    proxy.line("configuration reloaded");
    assert_eq!(weight(&place), 4);
    assert_eq!(page(place.address, "/stats").get("reload_error"), None);
    assert_eq!(page(place.address, "/healthz")["reload_failed"], false);
}

#[test]
fn what_needs_a_restart_is_said_and_not_done() {
    let mut place = Place::new();
    let mut proxy = place.start();
    place.config["server"]["listen_address"] = json!("127.0.0.1:1");
    place.config["limits"] = json!({ "max_connections": 7 });
    set_weight(&mut place, 3);
    place.write();
    proxy.line("server.listen_address");
    proxy.line("limits.max_connections");
    let stats = page(place.address, "/stats");
    let waiting = stats["restart_required"].as_array().unwrap();
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    assert!(waiting[0].as_str().unwrap().starts_with("server.listen_address: "), "{waiting:?}");
    assert_eq!(weight(&place), 3, "the rest is");
    // It still waits after a further change, and no longer when it is taken back.
    set_weight(&mut place, 4);
    place.write();
    proxy.line("configuration reloaded");
    assert_eq!(page(place.address, "/stats")["restart_required"].as_array().unwrap().len(), 2);
    place.config["server"]["listen_address"] = json!(place.address.to_string());
    place.config.as_object_mut().unwrap().remove("limits");
    place.write();
    proxy.line("configuration reloaded");
    assert_eq!(page(place.address, "/stats")["restart_required"], json!([]));
}
