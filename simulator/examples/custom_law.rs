//! Adds a law of your own to a simulated run: no client waits longer than a second for an answer.
//!
//! `cargo run -p simulator --example custom_law` plays a scenario in which one upstream answers late, and prints what
//! the law has found.

use std::time::Duration;

use simulator::judge::{Case, Check, ClientRequest, Law, RunReport, Violation, Witnesses, run_with};
use simulator::scenario;
use simulator::world::EngineKind;

const SCENARIO: &str = r#"{
    "name": "one-slow-upstream", "duration": "5s",
    "story": "One of two upstreams takes two seconds for each answer.",
    "upstreams": [{ "name": "fast" }, { "name": "slow", "latency": "2s" }],
    "clients": [{ "name": "client", "do": "echo", "requests": 10, "rate": 5 }]
}"#;

/// A black-box law looks at what clients and upstreams saw of a run. It could also be held against what the proxy told.
const PROMPT: Law = Law {
    name: "prompt",
    text: "No client waits longer than a second for an answer.",
    check: Check::BlackBox(|witnesses: &Witnesses<'_>| {
        // Every run makes some requests of its own at its end.
        let requests = witnesses.requests.iter().filter(|(id, _)| !Witnesses::is_own(id));
        let second = Duration::from_secs(1);
        let judge = |(id, asked): (&&str, &ClientRequest<'_>)| {
            let Some(end) = asked.end else { return Case::Holds };
            let late = end.result.answered().is_some_and(|after| after > second);
            let upstream = witnesses.journals.of(id).last().map_or("nobody", |entry| entry.host);
            Case::of(late.then(|| Violation::found(format!("{id} waited for {upstream}"), [end.line])))
        };
        requests.map(judge).collect()
    }),
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
