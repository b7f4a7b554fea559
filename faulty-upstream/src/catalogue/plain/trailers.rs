//! Trailers behind a chunked body; a good reply.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "trailers",
    family: Family::Plain,
    summary: "trailers behind a chunked body",
    params: &[],
    act: Act::Reply(Applies::Plain, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(
        Some(200),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
        Then::GoOn,
    )
}
