//! The client's bytes are never read, so that it meets back-pressure.

use crate::draw::Draw;
use crate::effect::tunnel::{Cutoff, TunnelEffects};
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

const HOLD: Setting = Setting::duration("hold", 60_000, "closed after this time");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "never-read",
    family: Family::Tunnel,
    summary: "what the client sends is never read",
    settings: &[HOLD],
    action: Action::Tunnel(act),
};

fn act(with: &SettingValues, _: &mut Draw, effects: &mut TunnelEffects) {
    effects.up.cutoff = Some((0, Cutoff::Stall(with.duration(&HOLD))));
}
