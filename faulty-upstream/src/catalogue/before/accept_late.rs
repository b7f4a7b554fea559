//! The connection is accepted, and read only after a while, as if it had waited in the backlog.

use crate::draw::Draw;
use crate::effect::reply::Reply;
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

const DELAY: Setting = Setting::duration("delay", 1000, "how long");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "accept-late",
    family: Family::Before,
    summary: "the connection is served only after a while",
    settings: &[DELAY],
    action: Action::Connection(act),
};

fn act(with: &SettingValues, _: &mut Draw) -> Reply {
    Reply::late(with.duration(&DELAY))
}
