//! Keep-alive is promised, and the connection ended.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "keep-alive-lie",
    family: Family::Plain,
    summary: "a good reply promises keep-alive and the connection is ended",
    params: &[],
    act: Act::Reply(Applies::Plain, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", Then::Fin)
}
