//! The reply comes before the request is read. Afterwards the tunnel works.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault};
use crate::setting::SettingValues;
use mock_upstreams::upstream::tunnel::ESTABLISHED;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "reply-first",
    family: Family::Reply,
    summary: "the 200 comes before the request is read",
    settings: &[],
    action: Action::Connection(act),
};

fn act(_: &SettingValues, _: &mut Draw) -> Reply {
    Reply::new(None, ESTABLISHED, Then::GoOnAnswered)
}
