//! The reply is a TLS alert, as a TLS port answers a client that speaks HTTP.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "tls-bytes",
    family: Family::Reply,
    summary: "a TLS alert in the place of a reply",
    settings: &[],
    action: Action::Reply(Requests::Any, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    // A record of type alert, TLS 1.2, of two bytes: fatal, protocol_version (RFC 5246 section 7.2).
    Reply::new(None, &[0x15, 3, 3, 0, 2, 2, 70][..], Then::Fin)
}
