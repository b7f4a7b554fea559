//! The log that the proxy writes of a run on real sockets: recorded, replayed, and kept for nobody else.

use simulator::scenario;
use simulator::world::EngineKind;

use crate::{proxy, scenarios, simulator, text};

#[test]
fn what_the_proxy_logs_of_a_run_on_real_sockets_replays_as_it_was() {
    proxy();
    let played =
        simulator(&["fidelity", "--live", "--scale", "0.25", "one-refuses.json", "proxy-restart.json", "loss.json"]);
    let told = text(&played);
    assert_eq!(played.status.code(), Some(0), "{told}");
    for line in [
        "left out    loss: ",
        "the same    one-refuses",
        "the same    proxy-restart",
        "2 logs of runs on real sockets replayed, 0 differ",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
}

#[test]
fn the_fidelity_of_live_logs_is_json_alone_where_that_is_asked_for_and_needs_something_to_play() {
    proxy();
    let played = simulator(&["fidelity", "--live", "--json", "--scale", "0.25", "one-refuses.json", "loss.json"]);
    let reports = serde_json::Deserializer::from_slice(&played.stdout).into_iter::<serde_json::Value>();
    let reports = reports.collect::<Result<Vec<_>, _>>().unwrap();
    assert!(reports.len() == 1 && reports[0]["scenario"] == "one-refuses", "{reports:?}");
    let prose = String::from_utf8_lossy(&played.stderr).into_owned();
    assert!(prose.contains("left out    loss: ") && prose.contains("1 logs of runs"), "{prose}");
    let none = simulator(&["fidelity", "--live", "loss.json"]);
    assert!(none.status.code() == Some(69) && text(&none).contains("nothing was compared"), "{none:?}");
    for ignored in [["--engine", "turmoil"], ["--subject", "squid"]] {
        let refused = simulator(&["fidelity", "--live", ignored[0], ignored[1], "one-refuses.json"]);
        assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    }
}

#[test]
fn a_live_log_is_kept_only_for_who_asks() {
    proxy();
    let scenario = scenario::load_scaled(&scenarios().join("one-refuses.json"), 0.05).unwrap();
    assert!(EngineKind::Live.play(&scenario, scenario.seed).unwrap().log.is_none());
    let log = EngineKind::Live.play_and_keep_log(&scenario).unwrap().log.unwrap();
    assert!(log.lines.contains(r#""event":"drained""#), "{}", log.lines);
}
