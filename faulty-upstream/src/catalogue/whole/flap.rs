//! The listener closes and opens on a schedule.

use crate::effect::listener::{ListenerPhase, State};
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};
use std::time::Duration;

const UP: Setting = Setting::duration("up", 10_000, "so long it is open");
const DOWN: Setting = Setting::duration("down", 5000, "so long it is closed");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "flap",
    family: Family::Whole,
    summary: "the listener closes and opens on a schedule",
    settings: &[UP, DOWN],
    action: Action::Listener(act),
};

fn act(with: &SettingValues, since: Duration) -> ListenerPhase {
    let (up, down) = (with.duration(&UP).as_nanos(), with.duration(&DOWN).as_nanos());
    let cycle = (up + down).max(1);
    let begun = since.as_nanos() - since.as_nanos() % cycle;
    let at = since.as_nanos() - begun;
    let (state, end) = if at < up { (State::Open, up) } else { (State::Closed, cycle) };
    let until = u64::try_from(begun + end).ok().map(Duration::from_nanos);
    ListenerPhase { state, dead: false, until }
}
