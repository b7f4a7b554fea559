//! Random bytes.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::{Param, Values};
use bytes::Bytes;
use mock_upstreams::Asked;

const SIZE: Param = Param::number("size", 512, 1..=(1 << 20), "how many");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "garbage",
    family: Family::Reply,
    summary: "random bytes",
    params: &[SIZE],
    act: Act::Reply(Applies::Any, act),
};

fn act(with: &Values, _: &Asked, draw: &mut Draw) -> Reply {
    // None of them an H, so that it can't be a status line by chance.
    let bytes = (0..with.number(&SIZE)).map(|_| draw.up_to(0xff) as u8).map(|byte| if byte == b'H' { 0 } else { byte });
    Reply::new(None, bytes.collect::<Bytes>(), Then::Hold)
}
