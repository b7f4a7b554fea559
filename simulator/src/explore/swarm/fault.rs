//! A made-up plan has any of the faults that there are, with settings of its own.

use faulty_upstream::fault::{Family, Strikes};
use faulty_upstream::{CATALOGUE, Fault, Setting, SettingType};
use serde_json::{Value as Json, json};

use super::draw::Draw;
use crate::world::EngineKind;

/// Durations are drawn up to this, so that a run does not wait for one fault only.
const LONGEST_MS: u64 = 10_000;

/// Whether scenarios for `engine` have `fault`.
fn is_played(fault: &Fault, engine: EngineKind) -> bool {
    // turmoil-net has no backlog, and loopback's is the machine's.
    fault.name != "backlog-full" || engine == EngineKind::Turmoil
}

impl Draw {
    /// An entry of a plan, for an upstream that speaks `tls` or does not. Where there are handshakes, half of the faults strike them.
    pub(super) fn fault(&mut self, tls: bool) -> Json {
        let handshake = tls && self.once_in(2);
        // Of a cut reply to plain HTTP few clients can say that it was not whole, so that these faults have to strike often.
        let plain = !handshake && self.once_in(5);
        let wanted = |fault: &&Fault| {
            (fault.strikes() == Strikes::Handshakes) == handshake && (!plain || fault.family == Family::Plain)
        };
        let playable: Vec<&Fault> =
            CATALOGUE.iter().filter(wanted).filter(|fault| is_played(fault, self.engine)).collect();
        let fault = *self.one_of(&playable);
        let mut when = json!({});
        if self.once_in(2) {
            when["from"] = json!(format!("{}s", self.number(1, 5)));
            when["until"] = json!(format!("{}s", self.number(6, 30)));
        }
        // A listener is the same for all connections, so that its faults can't be told apart by them.
        if fault.strikes() != Strikes::Listener {
            match self.number(1, 6) {
                1..=2 => when["probability"] = json!(self.number(1, 9) as f64 / 10.0),
                3 => when["every"] = json!(self.number(2, 6)),
                4 => when["nth"] = json!(self.number(1, 30)),
                _ => {}
            }
        }
        let mut with = json!({});
        for setting in fault.settings {
            if self.once_in(2) {
                with[setting.name] = self.setting(setting);
            }
        }
        let mut entry = json!({ "fault": fault.name, "when": when });
        if with.as_object().is_some_and(|object| !object.is_empty()) {
            entry["with"] = with;
        }
        entry
    }

    /// A value of a setting: mostly of the size of its default, at times the least or the most.
    fn setting(&mut self, setting: &Setting) -> Json {
        match &setting.value_type {
            SettingType::Duration { default } => {
                let most = (default.saturating_mul(3)).clamp(10, LONGEST_MS);
                json!(format!("{}ms", self.number(1, most)))
            }
            SettingType::Number { default, range } => {
                let most = default.saturating_mul(3).max(10).min(*range.end());
                match self.number(1, 4) {
                    1 => json!(range.start()),
                    2 => json!(default),
                    _ => json!(self.number(*range.start().min(&most), most)),
                }
            }
            SettingType::Choice { words } => json!(*self.one_of(words)),
        }
    }
}
