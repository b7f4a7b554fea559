//! The upstream gets slower with every connection, until it is restarted.

use crate::draw::Draw;
use crate::fault::{Action, Arrival, Family, Fault};
use crate::setting::{Setting, SettingValues};
use std::time::Duration;

const STEP: Setting = Setting::duration("step", 10, "slower by this with every connection");
const MOST: Setting = Setting::duration("most", 60_000, "never slower than this");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "leak",
    family: Family::Whole,
    summary: "every connection is answered slower than the one before",
    settings: &[STEP, MOST],
    action: Action::Delay(act),
};

fn act(with: &SettingValues, arrival: &Arrival, _: &mut Draw) -> Duration {
    let connections = u32::try_from(arrival.connection).unwrap_or(u32::MAX);
    with.duration(&STEP).saturating_mul(connections).min(with.duration(&MOST))
}
