//! The body is shorter than Content-Length says.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::SettingValues;
use mock_upstreams::ProxyRequest;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "length-too-long",
    family: Family::Plain,
    summary: "Content-Length promises more than comes (FIN)",
    settings: &[],
    action: Action::Reply(Requests::Plain, act),
};

fn act(_: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.", Then::Fin)
}
