//! Chunk after chunk, without an end.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use bytes::Bytes;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "endless-body",
    family: Family::Plain,
    summary: "chunk after chunk, without an end",
    params: &[],
    act: Act::Reply(Applies::Plain, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    Reply::new(Some(200), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Then::Repeat(Bytes::from(chunk)))
}
