//! The status line has no reason phrase. This is a good reply (RFC 9112 section 4).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "no-reason",
    family: Family::Reply,
    summary: "200 without a reason phrase",
    settings: &[],
    action: Action::Reply(Requests::Connect, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 \r\n\r\n", Then::Tunnel)
}
