//! The upstream is slow for a while, then well again.

use crate::draw::Draw;
use crate::fault::{Action, Arrival, Family, Fault};
use crate::setting::{Setting, SettingValues};
use std::time::Duration;

const DELAY: Setting = Setting::duration("delay", 5000, "how slow");
const AFTER: Setting = Setting::duration("after", 0, "when it begins");
const FOR: Setting = Setting::duration("for", 30_000, "how long it lasts");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "brown-out",
    family: Family::Whole,
    summary: "slow for a while",
    settings: &[DELAY, AFTER, FOR],
    action: Action::Delay(act),
};

fn act(with: &SettingValues, arrival: &Arrival, _: &mut Draw) -> Duration {
    let begin = with.duration(&AFTER);
    let slow = (begin..begin + with.duration(&FOR)).contains(&arrival.since_in_force);
    if slow { with.duration(&DELAY) } else { Duration::ZERO }
}
