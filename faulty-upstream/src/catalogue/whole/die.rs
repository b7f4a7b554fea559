//! The process dies with all its connections, and comes back.

use crate::effect::listener::{ListenerPhase, State};
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};
use std::time::Duration;

const AFTER: Setting = Setting::duration("after", 0, "so long it lives");
const DOWN: Setting = Setting::duration("down", 10_000, "so long it is dead");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "die",
    family: Family::Whole,
    summary: "dies with all its connections, and comes back",
    settings: &[AFTER, DOWN],
    action: Action::Listener(act),
};

fn act(with: &SettingValues, since: Duration) -> ListenerPhase {
    let death = with.duration(&AFTER);
    let birth = death + with.duration(&DOWN);
    if since < death {
        ListenerPhase { until: Some(death), ..ListenerPhase::always(State::Open) }
    } else if since < birth {
        ListenerPhase { state: State::Closed, dead: true, until: Some(birth) }
    } else {
        ListenerPhase::always(State::Open)
    }
}
