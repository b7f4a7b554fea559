//! Upstreams of a made-up scenario fail at tunnels and at pages alike, and at pages more often.

use serde_json::{Value as Json, json};

use super::draw::{Draw, Feature, PASSWORD};

/// What no client can read, and only an upstream can have written before a tunnel.
const UNREADABLE: [&str; 4] = ["garbage", "http-9.9", "absurd-number", "cut-head"];

impl Draw {
    /// The first of `upstreams` fails as targets could have had it fail, which uses `max_ejection_percent` up, and the second with what only an
    /// upstream can write, which is doubtful of a page. Left to chance, none fails so at everything that it is asked.
    pub(super) fn both_kinds(&mut self, upstreams: &mut [Json], clients: &mut Vec<Json>, seconds: u64) {
        if !self.has(Feature::BothKinds) {
            return;
        }
        let unreadable = *self.one_of(&UNREADABLE);
        for (upstream, fault) in upstreams.iter_mut().zip(["reply-close", unreadable]) {
            let mut plan = upstream["plan"]["faults"].take().as_array().cloned().unwrap_or_default();
            plan.retain(|one| one["id"] == "later");
            plan.push(json!({ "fault": fault }));
            upstream["plan"] = json!({ "faults": plan });
        }
        for (name, action, rate) in [("opens", "echo", 3), ("reads", "http:bytes=100", self.number(15, 25))] {
            let mut client = json!({ "name": name, "do": action, "rate": rate, "until": format!("{seconds}s") });
            if self.has(Feature::ClientAuth) {
                client["users"] = json!([format!("alice:{PASSWORD}")]);
            }
            clients.push(client);
        }
    }
}
