//! The head is too large because it has too many fields.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::{Setting, SettingValues};
use mock_upstreams::ProxyRequest;

const SIZE: Setting = Setting::number("size", 1 << 20, 1..=(1 << 26), "bytes of the head");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "many-lines",
    family: Family::Reply,
    summary: "many fields make the head too large",
    settings: &[SIZE],
    action: Action::Reply(Requests::Connect, act),
};

fn act(with: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    const FIELD: &str = "X-Many: 0123456789\r\n";
    let count = usize::try_from(with.number(&SIZE)).unwrap_or(usize::MAX).div_ceil(FIELD.len());
    let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", FIELD.repeat(count));
    Reply::new(None, head, Then::Fin)
}
