//! The port is closed.

use crate::effect::listener::{ListenerPhase, State};
use crate::fault::{Action, Family, Fault};
use crate::setting::SettingValues;
use std::time::Duration;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "refuse",
    family: Family::Before,
    summary: "the listener is closed: connections are refused",
    settings: &[],
    action: Action::Listener(act),
};

fn act(_: &SettingValues, _: Duration) -> ListenerPhase {
    ListenerPhase::always(State::Closed)
}
