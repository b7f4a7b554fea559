//! The 200 comes before the target was reached, and then nothing.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;
use mock_upstreams::upstream::tunnel::ESTABLISHED;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "stalled-tunnel",
    family: Family::Reply,
    summary: "200 at once, then silence",
    settings: &[],
    action: Action::Reply(Requests::Connect, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(Some(200), ESTABLISHED, Then::Hold)
}
