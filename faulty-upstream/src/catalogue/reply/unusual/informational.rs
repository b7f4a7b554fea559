//! 1xx in front of the final reply, which a client must skip (RFC 9110 section 15.2).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::{Param, Values};
use mock_upstreams::Asked;

const COUNT: Param = Param::number("count", 2, 1..=1000, "how many");
const STATUS: Param = Param::number("status", 103, 100..=199, "which");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "informational",
    family: Family::Reply,
    summary: "1xx heads come before the 200",
    params: &[COUNT, STATUS],
    act: Act::Reply(Applies::Connect, act),
};

fn act(with: &Values, _: &Asked, _: &mut Draw) -> Reply {
    let status = with.number(&STATUS);
    let interim = format!("HTTP/1.1 {status} Interim\r\nX-Interim: yes\r\n\r\n");
    let count = usize::try_from(with.number(&COUNT)).unwrap_or(1);
    let head = interim.repeat(count) + "HTTP/1.1 200 OK\r\n\r\n";
    Reply::new(Some(200), head, Then::Tunnel)
}
