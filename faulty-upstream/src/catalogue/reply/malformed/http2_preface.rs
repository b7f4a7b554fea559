//! What an HTTP/2 server begins with: an empty SETTINGS frame (RFC 9113 section 3.4).

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "http2-preface",
    family: Family::Reply,
    summary: "an HTTP/2 SETTINGS frame",
    params: &[],
    act: Act::Reply(Applies::Any, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    Reply::new(None, &[0, 0, 0, 4, 0, 0, 0, 0, 0][..], Then::Hold)
}
