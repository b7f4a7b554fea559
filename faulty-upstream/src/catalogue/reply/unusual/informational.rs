//! 1xx heads come before the final reply. A client has to skip them (RFC 9110 section 15.2).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::{Setting, SettingValues};
use mock_upstreams::ProxyRequest;

const COUNT: Setting = Setting::number("count", 2, 1..=1000, "how many");
const STATUS: Setting = Setting::number("status", 103, 100..=199, "which");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "informational",
    family: Family::Reply,
    summary: "1xx heads come before the 200",
    settings: &[COUNT, STATUS],
    action: Action::Reply(Requests::Connect, act),
};

fn act(with: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    let status = with.number(&STATUS);
    let interim = format!("HTTP/1.1 {status} Interim\r\nX-Interim: yes\r\n\r\n");
    let count = usize::try_from(with.number(&COUNT)).unwrap_or(1);
    let head = interim.repeat(count) + "HTTP/1.1 200 OK\r\n\r\n";
    Reply::new(Some(200), head, Then::Tunnel)
}
