//! The lines of the head end in LF without CR.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "bare-lf",
    family: Family::Reply,
    summary: "lines end in LF without CR",
    settings: &[],
    action: Action::Reply(Requests::Connect, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 OK\nX-Field: value\n\n", Then::Tunnel)
}
