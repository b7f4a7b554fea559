//! The connection is reset in the middle of the body.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "body-reset",
    family: Family::Plain,
    summary: "the body is cut by a reset",
    settings: &[],
    action: Action::Reply(Requests::Plain, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.", Then::Reset)
}
