//! Content-Length promises more than comes.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "length-too-long",
    family: Family::Plain,
    summary: "Content-Length promises more than comes (FIN)",
    params: &[],
    act: Act::Reply(Applies::Plain, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(Some(200), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.", Then::Fin)
}
