//! One direction stops after a number of bytes, and nothing is closed.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::{Cutoff, TunnelEffects};
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

const AFTER: Setting = Setting::bytes("after", 1000, "so many bytes that way");
const HOLD: Setting = Setting::duration("hold", 60_000, "closed after this time");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "stall",
    family: Family::Tunnel,
    summary: "one way stops, and nothing is closed",
    settings: &[WAY, AFTER, HOLD],
    action: Action::Tunnel(act),
};

fn act(with: &SettingValues, _: &mut Draw, effects: &mut TunnelEffects) {
    for direction in effects.directions(with.choice(&WAY)) {
        direction.cutoff = Some((with.number(&AFTER), Cutoff::Stall(with.duration(&HOLD))));
    }
}
