//! The head is cut short by an orderly end.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "cut-head",
    family: Family::Reply,
    summary: "the head is cut short (FIN)",
    params: &[],
    act: Act::Reply(Applies::Connect, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(None, "HTTP/1.1 200 OK\r\nX-Cut: he", Then::Fin)
}
