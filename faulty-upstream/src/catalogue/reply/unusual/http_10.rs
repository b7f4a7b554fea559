//! The status line names HTTP/1.0, as many old proxies do. This is a good reply.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "http-1.0",
    family: Family::Reply,
    summary: "200 by HTTP/1.0",
    settings: &[],
    action: Action::Reply(Requests::Connect, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.0 200 OK\r\n\r\n", Then::Tunnel)
}
