//! Two replies to one CONNECT. Behind a 2xx the second is the tunnel's first bytes; behind anything else nobody may read it.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::{Param, Values};
use mock_upstreams::Asked;

const FIRST: Param = Param::number("first", 407, 200..=599, "status of the first");
const SECOND: Param = Param::number("second", 200, 200..=599, "status of the second");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "two-replies",
    family: Family::Reply,
    summary: "two replies to one request",
    params: &[FIRST, SECOND],
    act: Act::Reply(Applies::Connect, act),
};

fn act(with: &Values, _: &Asked, _: &mut Draw) -> Reply {
    let first = with.number(&FIRST);
    let good = (200..300).contains(&first);
    let length = if good { "" } else { "Content-Length: 0\r\n" };
    let head = format!("HTTP/1.1 {first} First\r\n{length}\r\nHTTP/1.1 {} Second\r\n\r\n", with.number(&SECOND));
    Reply::new(u16::try_from(first).ok(), head, if good { Then::Tunnel } else { Then::Hold })
}
