//! Faults of a made-up scenario strike all at once, where the proxy least expects it.

use serde_json::{Value as Json, json};

use super::draw::{Draw, Feature};
use crate::scenario::PROXY;

/// How long behind the ejection the faults are armed: what was done to the proxy is told by then.
const LATER_MS: u64 = 100;
/// How long they stay so: longer than the first back-off, so that probes meet them too.
const LASTS_MS: u64 = 3500;

impl Draw {
    /// The upstreams that have a fault for later are struck at one time, mostly while they are ejected by hand, and often while the proxy
    /// reloads or drains: left to chance, few faults ever meet that. Where all upstreams are ejected, requests go to them all the same.
    pub(super) fn ambush(&mut self, upstreams: &[Json], proxies: &[(&str, Json)], seconds: u64) -> Vec<Json> {
        if !self.has(Feature::Ambush) {
            return Vec::new();
        }
        let start = self.number(2000, seconds * 1000 - 6000);
        let [at, armed, until] = [0, LATER_MS, LATER_MS + LASTS_MS].map(|behind| format!("{}ms", start + behind));
        let name = |upstream: &Json| upstream["name"].as_str().unwrap_or_default().to_owned();
        let all: Vec<String> = upstreams.iter().map(name).collect();
        // The last is left alone.
        let struck = &all[..all.len() - 1];
        let mut timeline = Vec::new();
        for host in struck {
            timeline.push(json!({ "at": armed, "do": "arm", "upstream": host, "fault": "later" }));
            timeline.push(json!({ "at": until, "do": "disarm", "upstream": host, "fault": "later" }));
        }
        let ejected: &[String] = match self.number(1, 6) {
            1 => &[],
            2 => struck,
            _ => &all,
        };
        for host in ejected {
            let upstream = self.host_of_entry(host);
            timeline.push(json!({ "at": at, "do": "steer", "host": PROXY, "upstream": upstream, "order": "eject" }));
        }
        let config = proxies.iter().find(|(host, _)| *host == PROXY).map(|(_, config)| config);
        timeline.extend(match self.number(1, 7) {
            1..=2 => None,
            3..=5 => Some(json!({ "at": at, "do": "reload", "host": PROXY, "proxy": config })),
            _ => Some(json!({ "at": at, "do": "drain", "host": PROXY })),
        });
        timeline
    }
}

#[cfg(test)]
mod tests {
    use crate::explore::coverage::reached;
    use crate::explore::swarm::draw::{Feature, Genome};
    use crate::explore::swarm::scenario;
    use crate::judge::run;
    use crate::world::EngineKind;

    #[test]
    fn faults_meet_upstreams_that_are_ejected_while_the_proxy_reloads_and_while_it_drains() {
        let items = (1..=12).flat_map(|seed| {
            let mut genome = Genome::new(seed, EngineKind::default());
            genome.features = vec![Feature::Ambush];
            let scenario = scenario(&genome);
            reached(&scenario, &run(&scenario, seed).trace)
        });
        let items: Vec<String> = items.filter(|item| item.starts_with("fault/")).collect();
        for state in ["/eligible/drain", "/ejected/normal", "/ejected/reload", "/ejected/drain"] {
            assert!(items.iter().any(|item| item.ends_with(state)), "{state}: {items:?}");
        }
    }
}
