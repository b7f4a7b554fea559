//! The port is open, but its backlog is full: a SYN gets no answer.

use crate::effect::listener::{ListenerPhase, State};
use crate::fault::{Action, Family, Fault};
use crate::setting::SettingValues;
use std::time::Duration;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "backlog-full",
    family: Family::Before,
    summary: "the backlog is full: connecting hangs",
    settings: &[],
    action: Action::Listener(act),
};

fn act(_: &SettingValues, _: Duration) -> ListenerPhase {
    ListenerPhase::always(State::Full)
}
