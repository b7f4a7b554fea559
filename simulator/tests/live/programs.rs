//! Other programs than netdrift's own binary as it ships.

use simulator::judge::{Verdict, run_subject};
use simulator::scenario;
use simulator::world::EngineKind;

use crate::{proxy, started_by};

/// A fault that is over within two seconds would be over before the first client came.
#[test]
fn the_times_of_faults_count_from_when_clients_may_come_however_long_the_proxy_takes_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let slow = format!("sleep 2; exec {} --config \"$0\"", proxy().display());
    let scenario = r#"{ "name": "x", "story": "x", "duration": "3s",
        "upstreams": [{ "name": "a", "plan": { "faults": [{ "fault": "refuse", "when": { "until": "2s" } }] } }],
        "clients": [{ "name": "c", "do": "connect", "requests": 1 }],
        "expect": [{ "what": "requests", "outcome": "status", "status": 502, "exactly": 1 }] }"#;
    let scenario = scenario::parse(scenario).unwrap();
    let report = run_subject(EngineKind::Live, &started_by(&slow, folder.path()), &scenario, 1);
    assert_eq!(report.verdict, Verdict::Passed, "{:#?}", report.violations);
}
