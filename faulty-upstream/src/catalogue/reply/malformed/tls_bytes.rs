//! A TLS alert: what a TLS port says to somebody who speaks HTTP.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Act, Applies, Family, Fault};
use crate::param::Values;
use mock_upstreams::Asked;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "tls-bytes",
    family: Family::Reply,
    summary: "a TLS alert in the place of a reply",
    params: &[],
    act: Act::Reply(Applies::Any, act),
};

fn act(_: &Values, _: &Asked, _: &mut Draw) -> Reply {
    // Record: alert, TLS 1.2, two bytes: fatal, protocol_version (RFC 5246 section 7.2).
    Reply::new(None, &[0x15, 3, 3, 0, 2, 2, 70][..], Then::Fin)
}
