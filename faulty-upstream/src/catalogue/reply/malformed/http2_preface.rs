//! The reply is the empty SETTINGS frame with which an HTTP/2 server begins (RFC 9113 section 3.4).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "http2-preface",
    family: Family::Reply,
    summary: "an HTTP/2 SETTINGS frame",
    settings: &[],
    action: Action::Reply(Requests::Any, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(None, &[0, 0, 0, 4, 0, 0, 0, 0, 0][..], Then::Hold)
}
