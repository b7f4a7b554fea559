//! The 200 to CONNECT has Content-Length and as many bytes behind it.
//!
//! A client has to ignore the length: the bytes are the first of the tunnel (RFC 9110 section 9.3.6).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "length-on-200",
    family: Family::Reply,
    summary: "200 with Content-Length and a body",
    settings: &[],
    action: Action::Reply(Requests::Connect, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Then::Tunnel)
}
