//! The tunnel is reset after a number of bytes.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::{Cutoff, TunnelEffects, TunnelEnd};
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

const AFTER: Setting = Setting::bytes("after", 1000, "so many bytes that way");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "tunnel-reset",
    family: Family::Tunnel,
    summary: "reset after so many bytes",
    settings: &[WAY, AFTER],
    action: Action::Tunnel(act),
};

fn act(with: &SettingValues, _: &mut Draw, effects: &mut TunnelEffects) {
    for direction in effects.directions(with.choice(&WAY)) {
        direction.cutoff = Some((with.number(&AFTER), Cutoff::Tunnel(TunnelEnd::Reset)));
    }
}
