//! One block of bytes comes twice.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::{RepeatedBlock, TunnelEffects};
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

const AT: Setting = Setting::bytes("at", 100, "where it begins");
const LENGTH: Setting = Setting::number("length", 100, 1..=(1 << 20), "how long it is");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "duplicate",
    family: Family::Tunnel,
    summary: "a block comes twice",
    settings: &[WAY, AT, LENGTH],
    action: Action::Tunnel(act),
};

fn act(with: &SettingValues, _: &mut Draw, effects: &mut TunnelEffects) {
    for direction in effects.directions(with.choice(&WAY)) {
        direction.repeated = Some(RepeatedBlock::new(with.number(&AT), with.number(&LENGTH)));
    }
}
