//! Two replies answer one CONNECT.
//!
//! Behind a 2xx the second reply is the first bytes of the tunnel. Behind any other status nobody may read it.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::{Setting, SettingValues};
use mock_upstreams::ProxyRequest;

const FIRST: Setting = Setting::number("first", 407, 200..=599, "status of the first");
const SECOND: Setting = Setting::number("second", 200, 200..=599, "status of the second");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "two-replies",
    family: Family::Reply,
    summary: "two replies to one request",
    settings: &[FIRST, SECOND],
    action: Action::Reply(Requests::Connect, act),
};

fn act(with: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    let first = with.number(&FIRST);
    let good = (200..300).contains(&first);
    let length = if good { "" } else { "Content-Length: 0\r\n" };
    let head = format!("HTTP/1.1 {first} First\r\n{length}\r\nHTTP/1.1 {} Second\r\n\r\n", with.number(&SECOND));
    Reply::new(u16::try_from(first).ok(), head, if good { Then::Tunnel } else { Then::Hold })
}
