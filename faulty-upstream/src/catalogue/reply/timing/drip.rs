//! The head comes a byte at a time; a good reply.

use crate::draw::Draw;
use crate::effect::reply::{Part, Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::{Param, Values};
use bytes::Bytes;
use mock_upstreams::Asked;
use mock_upstreams::upstream::tunnel::ESTABLISHED;

const GAP: Param = Param::span("gap", 0, "time between two bytes");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "drip",
    family: Family::Reply,
    summary: "the 200 comes a byte at a time",
    params: &[GAP],
    act: Act::Reply(Applies::Connect, act),
};

fn act(with: &Values, _: &Asked, _: &mut Draw) -> Reply {
    let gap = with.span(&GAP);
    let bytes = ESTABLISHED.iter().map(|byte| Part::Write(Bytes::copy_from_slice(&[*byte])));
    let say = bytes.flat_map(|byte| [byte, Part::Wait(gap)]).collect();
    Reply { status: Some(200), say, then: Then::Tunnel }
}
