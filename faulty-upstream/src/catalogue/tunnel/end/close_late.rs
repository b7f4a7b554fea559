//! The end of one direction is passed on late.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::TunnelEffects;
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

const DELAY: Setting = Setting::duration("delay", 1000, "how late");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "close-late",
    family: Family::Tunnel,
    summary: "the end is passed on late",
    settings: &[WAY, DELAY],
    action: Action::Tunnel(act),
};

fn act(with: &SettingValues, _: &mut Draw, effects: &mut TunnelEffects) {
    for direction in effects.directions(with.choice(&WAY)) {
        direction.late_end = with.duration(&DELAY);
    }
}
