//! Bytes come in small writes.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::TunnelEffects;
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};
use std::num::NonZeroUsize;

const SIZE: Setting = Setting::number("size", 1, 1..=65_536, "bytes of one write");
const GAP: Setting = Setting::duration("gap", 0, "time between two");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "slice",
    family: Family::Tunnel,
    summary: "bytes come in small writes",
    settings: &[WAY, SIZE, GAP],
    action: Action::Tunnel(act),
};

fn act(with: &SettingValues, _: &mut Draw, effects: &mut TunnelEffects) {
    for direction in effects.directions(with.choice(&WAY)) {
        direction.slice = NonZeroUsize::new(usize::try_from(with.number(&SIZE)).unwrap_or(1));
        direction.gap = with.duration(&GAP);
    }
}
