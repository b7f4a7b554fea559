//! The head never ends: field comes after field.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use bytes::Bytes;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "endless-head",
    family: Family::Reply,
    summary: "field after field, and no end of the head",
    settings: &[],
    action: Action::Reply(Requests::Connect, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    let fields = Bytes::from("X-More: and more\r\n".repeat(64));
    Reply::new(None, "HTTP/1.1 200 OK\r\n", Then::Repeat(fields))
}
