//! The bytes per second are limited.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::TunnelEffects;
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};
use std::num::NonZeroU64;

const RATE: Setting = Setting::number("bytes_per_second", 65_536, 1..=(1 << 40), "the limit");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "bandwidth",
    family: Family::Tunnel,
    summary: "a limit of bytes per second",
    settings: &[WAY, RATE],
    action: Action::Tunnel(act),
};

fn act(with: &SettingValues, _: &mut Draw, effects: &mut TunnelEffects) {
    for direction in effects.directions(with.choice(&WAY)) {
        direction.rate = NonZeroU64::new(with.number(&RATE));
    }
}
