//! The value of a field contains a NUL.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "nul",
    family: Family::Reply,
    summary: "a NUL stands in a field",
    settings: &[],
    action: Action::Reply(Requests::Connect, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(None, "HTTP/1.1 200 OK\r\nX-Field: a\0b\r\n\r\n", Then::Hold)
}
