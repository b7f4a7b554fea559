//! One field is too large, on a reply that is otherwise good.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::{Setting, SettingValues};
use mock_upstreams::ProxyRequest;

const SIZE: Setting = Setting::number("size", 1 << 20, 1..=(1 << 26), "bytes of it");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "large-field",
    family: Family::Plain,
    summary: "one field of the reply is too large",
    settings: &[SIZE],
    action: Action::Reply(Requests::Plain, act),
};

fn act(with: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    let large = "x".repeat(usize::try_from(with.number(&SIZE)).unwrap_or(usize::MAX));
    let reply = format!("HTTP/1.1 200 OK\r\nX-Large: {large}\r\nContent-Length: 2\r\n\r\nok");
    Reply::new(Some(200), reply, Then::Fin)
}
