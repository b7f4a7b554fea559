//! The head is too large because one field is too large.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::{Setting, SettingValues};
use mock_upstreams::ProxyRequest;

const SIZE: Setting = Setting::number("size", 1 << 20, 1..=(1 << 26), "bytes of the head");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "large-line",
    family: Family::Reply,
    summary: "one field makes the head too large",
    settings: &[SIZE],
    action: Action::Reply(Requests::Connect, act),
};

fn act(with: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    let size = usize::try_from(with.number(&SIZE)).unwrap_or(usize::MAX);
    let head = format!("HTTP/1.1 200 OK\r\nX-Large: {}\r\n\r\n", "x".repeat(size));
    Reply::new(None, head, Then::Fin)
}
