//! The upstream blames a target that works.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "blame-shifting",
    family: Family::Whole,
    summary: "502 in the name of a target that is fine",
    settings: &[],
    action: Action::Reply(Requests::Any, act),
};

fn act(_: &SettingValues, request: &ProxyRequest, _: &mut Draw) -> Reply {
    let text = format!("{} can't be reached\n", request.target);
    let head = format!("HTTP/1.1 502 Bad Gateway\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    Reply::new(Some(502), head + &text, Then::Fin)
}
