//! The reply comes late.

use crate::draw::Draw;
use crate::fault::{Action, Arrival, Family, Fault};
use crate::setting::{Setting, SettingValues};
use std::time::Duration;

const DELAY: Setting = Setting::duration("delay", 1000, "how long");
const JITTER: Setting = Setting::duration("jitter", 0, "at most this much longer");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "reply-late",
    family: Family::Reply,
    summary: "answered only after a while",
    settings: &[DELAY, JITTER],
    action: Action::Delay(act),
};

fn act(with: &SettingValues, _: &Arrival, draw: &mut Draw) -> Duration {
    with.duration(&DELAY) + draw.duration(with.duration(&JITTER))
}
