//! The connection is accepted, and ended in order (FIN) at once.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault};
use crate::setting::SettingValues;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "accept-close",
    family: Family::Before,
    summary: "the connection is accepted and ended in order at once",
    settings: &[],
    action: Action::Connection(act),
};

fn act(_: &SettingValues, _: &mut Draw) -> Reply {
    Reply::silent(Then::Fin)
}
