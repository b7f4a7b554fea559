//! The body never ends: chunk comes after chunk.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use bytes::Bytes;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "endless-body",
    family: Family::Plain,
    summary: "chunk after chunk, without an end",
    settings: &[],
    action: Action::Reply(Requests::Plain, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    Reply::new(Some(200), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Then::Repeat(Bytes::from(chunk)))
}
