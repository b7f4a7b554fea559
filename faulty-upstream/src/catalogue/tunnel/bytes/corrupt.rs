//! Bits are flipped, at places that the draw alone decides.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::{BitFlips, TunnelEffects};
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

const EVERY: Setting = Setting::number("every", 1000, 1..=(1 << 30), "one bit per so many bytes, on average");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "corrupt",
    family: Family::Tunnel,
    summary: "bits are flipped",
    settings: &[WAY, EVERY],
    action: Action::Tunnel(act),
};

fn act(with: &SettingValues, draw: &mut Draw, effects: &mut TunnelEffects) {
    for direction in effects.directions(with.choice(&WAY)) {
        direction.flips = Some(BitFlips::new(with.number(&EVERY), draw.fork()));
    }
}
