//! One direction is ended in order after a number of bytes, and the other goes on.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::{Cutoff, TunnelEffects};
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

const AFTER: Setting = Setting::bytes("after", 0, "so many bytes that way");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "half-close",
    family: Family::Tunnel,
    summary: "one way is ended, the other goes on",
    settings: &[WAY, AFTER],
    action: Action::Tunnel(act),
};

fn act(with: &SettingValues, _: &mut Draw, effects: &mut TunnelEffects) {
    for direction in effects.directions(with.choice(&WAY)) {
        direction.cutoff = Some((with.number(&AFTER), Cutoff::HalfClose));
    }
}
