//! The connection is accepted, and never read.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

const HOLD: Setting = Setting::duration("hold", 60_000, "closed after this time");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "accept-silent",
    family: Family::Before,
    summary: "the connection is accepted and never read",
    settings: &[HOLD],
    action: Action::Connection(act),
};

fn act(with: &SettingValues, _: &mut Draw) -> Reply {
    Reply::silent(Then::Freeze(with.duration(&HOLD)))
}
