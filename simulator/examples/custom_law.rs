//! A law of your own over a simulated run: no client waits longer than a second for an answer.
//!
//! `cargo run -p simulator --example custom_law` plays a scenario in which one upstream answers late, and prints what
//! the law has found.

use std::time::Duration;

use simulator::judge::{History, Law, RunReport, Violation, run_with};
use simulator::scenario;
use simulator::world::EngineKind;

const SCENARIO: &str = r#"{
    "name": "one-slow-upstream", "duration": "5s",
    "story": "One of two upstreams takes two seconds for each answer.",
    "upstreams": [{ "name": "fast" }, { "name": "slow", "latency": "2s" }],
    "clients": [{ "name": "client", "do": "echo", "requests": 10, "rate": 5 }]
}"#;

/// A law looks at what clients, the proxy and upstreams told of a run.
const PROMPT: Law = Law {
    name: "prompt",
    text: "No client waits longer than a second for an answer.",
    check: |history: &History<'_>| {
        // Every run makes some requests of its own at its end.
        let requests = history.client_requests.iter().filter(|(id, _)| !History::is_own(id));
        let second = Duration::from_secs(1);
        let late = requests.filter(|(_, seen)| seen.result.answered().is_some_and(|after| after > second));
        late.map(|(id, seen)| {
            let upstream = history.served_by(id).unwrap_or("nobody");
            Violation::found(format!("{id} waited for {upstream}"), [seen.line])
        })
        .collect()
    },
};

/// The run of [`SCENARIO`] with one seed: the same on every machine.
pub(crate) fn report() -> RunReport {
    let scenario = scenario::parse(SCENARIO).expect("the scenario above is valid");
    run_with(EngineKind::TurmoilNet, &scenario, 1, &[PROMPT])
}

pub(crate) fn main() {
    let report = report();
    println!("{} requests, digest {}: {}", report.requests, report.digest, report.verdict.as_str());
    for violation in &report.violations {
        println!("{}: {}", violation.of, violation.text);
    }
}
