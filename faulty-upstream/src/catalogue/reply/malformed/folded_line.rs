//! A field is folded over two lines (RFC 9112 section 5.2).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "folded-line",
    family: Family::Reply,
    summary: "a field is folded over two lines",
    settings: &[],
    action: Action::Reply(Requests::Connect, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\n\r\n", Then::Tunnel)
}
