//! Content-Length is larger than any integer type can hold.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "absurd-length",
    family: Family::Reply,
    summary: "Content-Length is beyond all integers",
    settings: &[],
    action: Action::Reply(Requests::Any, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(None, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 99999999999999999999999\r\n\r\n", Then::Hold)
}
