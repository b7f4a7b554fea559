//! A connection that was kept alive is ended when it is used again.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "reused-close",
    family: Family::Plain,
    summary: "a kept connection is ended at its next request",
    settings: &[],
    action: Action::Reply(Requests::PlainReused, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(None, "", Then::Fin)
}
