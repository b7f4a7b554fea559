//! The scenario of a cell: a fault on one of three upstreams, for a second and a half.

use faulty_upstream::Fault;
use faulty_upstream::fault::Family;
use serde_json::{Value as Json, json};

use crate::scenario::{self, Scenario};
use crate::subject::{Feature, Subject};

/// The clients of a cell: one opens tunnels, the other asks for pages.
pub const TUNNEL: &str = "tunnel";
/// The client that asks for pages.
pub const PLAIN: &str = "plain";
/// The upstream that goes wrong.
const FAULTY: &str = "a";

/// The scenario in which `fault` meets `subject`. A subject that has one upstream only gets that one; one that takes no plain requests is
/// sent none.
///
/// # Panics
/// The scenario can't be read, which a test of all faults excludes.
pub fn story(fault: &Fault, subject: &Subject) -> Scenario {
    let over_tls = fault.family == Family::Handshake;
    let upstream = |name: &str| {
        let mut upstream = json!({ "name": name });
        if name == FAULTY {
            upstream["tls"] = json!(over_tls);
            let when = json!({ "from": "300ms", "until": "1800ms" });
            upstream["plan"] = json!({ "faults": [{ "fault": fault.name, "when": when }] });
        }
        upstream
    };
    let names: &[&str] =
        if subject.lacks(Feature::SeveralUpstreams).is_some() { &[FAULTY] } else { &[FAULTY, "b", "c"] };
    let client =
        |name: &str, does: &str| json!({ "name": name, "do": does, "rate": 10, "until": "2300ms", "timeout": "7s" });
    let mut clients = vec![client(TUNNEL, "echo:rounds=2,bytes=2k")];
    if subject.lacks(Feature::PlainHttp).is_none() {
        clients.push(client(PLAIN, "http:bytes=10k"));
    }
    let json = json!({
        "name": format!("matrix-{}", fault.name.replace('.', "-")),
        "story": format!("One upstream goes wrong: {}", fault.summary),
        "duration": "2500ms",
        "proxy": proxy(),
        "upstreams": names.iter().map(|name| upstream(name)).collect::<Vec<_>>(),
        "clients": clients,
    });
    match scenario::parse(&json.to_string()) {
        Ok(scenario) => scenario,
        Err(problems) => panic!("{problems}"),
    }
}

/// Times are short, so that a cell is over within seconds, and leave a client room for another attempt. A reply has longer than a harmless
/// fault keeps it back. What only one side has left ends before the proxy is looked at.
fn proxy() -> Json {
    json!({
        "timeouts": { "connect": "500ms", "reply": "2s", "pool_idle": "500ms", "half_closed": "3s", "body": "2s" },
        "health_check": { "failure_threshold": 3, "backoff_base": "500ms", "backoff_max": "1s" },
        "server": { "drain_timeout": "2s" },
    })
}

#[cfg(test)]
mod tests {
    use faulty_upstream::CATALOGUE;

    use super::*;
    use crate::subject::named;
    use crate::world::EngineKind;

    #[test]
    fn every_fault_has_a_story_that_the_live_engine_plays() {
        for fault in CATALOGUE {
            let story = story(fault, &Subject::default());
            assert_eq!(EngineKind::Live.unsupported(&story), [""; 0], "{}", fault.name);
            let plan = story.upstreams[0].fault_plan(1).unwrap();
            assert_eq!(plan.entries().len(), 1);
            assert_eq!(story.upstreams[0].tls, fault.family == Family::Handshake);
            assert_eq!((story.upstreams.len(), story.clients.len()), (3, 2));
        }
    }

    #[test]
    fn a_subject_with_one_upstream_gets_the_one_that_goes_wrong() {
        let fault = CATALOGUE.iter().find(|fault| fault.name == "refuse").unwrap();
        let tinyproxy = named("tinyproxy").unwrap();
        let story = story(fault, &tinyproxy);
        assert_eq!(story.upstreams.len(), 1);
        assert_eq!(tinyproxy.unsupported(&story), [""; 0]);
    }
}
