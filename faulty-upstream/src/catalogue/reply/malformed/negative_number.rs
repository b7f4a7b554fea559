//! Content-Length is negative, beside a status that has a body.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "negative-number",
    family: Family::Reply,
    summary: "Content-Length is negative",
    settings: &[],
    action: Action::Reply(Requests::Any, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(None, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: -1\r\n\r\n", Then::Hold)
}
