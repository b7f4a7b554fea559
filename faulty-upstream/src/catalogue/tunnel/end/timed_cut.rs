//! The tunnel is ended in order (FIN) after a time.

use crate::draw::Draw;
use crate::effect::tunnel::{TunnelEffects, TunnelEnd};
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

const TIME: Setting = Setting::duration("time", 1000, "so long after the 200");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "timed-cut",
    family: Family::Tunnel,
    summary: "ended in order after a time",
    settings: &[TIME],
    action: Action::Tunnel(act),
};

fn act(with: &SettingValues, _: &mut Draw, effects: &mut TunnelEffects) {
    effects.end = Some((with.duration(&TIME), TunnelEnd::Fin));
}
