//! Every byte comes later.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::TunnelEffects;
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

const DELAY: Setting = Setting::duration("delay", 200, "how much later");
const JITTER: Setting = Setting::duration("jitter", 0, "at most this much later still");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "latency",
    family: Family::Tunnel,
    summary: "bytes come later, by a fixed time and a random one",
    settings: &[WAY, DELAY, JITTER],
    action: Action::Tunnel(act),
};

fn act(with: &SettingValues, draw: &mut Draw, effects: &mut TunnelEffects) {
    for direction in effects.directions(with.choice(&WAY)) {
        direction.delay += with.duration(&DELAY);
        direction.jitter = Some((with.duration(&JITTER), draw.fork()));
    }
}
