//! Every byte comes later.

use crate::draw::Draw;
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};
use crate::shape::Effects;

const WAY: Param = super::WAY;
const DELAY: Param = Param::span("delay", 200, "how much later");
const JITTER: Param = Param::span("jitter", 0, "at most this much later still");

pub(in crate::fault) const FAULT: Fault = Fault {
    name: "latency",
    family: Family::Tunnel,
    summary: "bytes come later, by a fixed time and a random one",
    params: &[WAY, DELAY, JITTER],
    act: Act::Tunnel(act),
};

fn act(with: &Values, draw: &mut Draw, effects: &mut Effects) {
    for flow in effects.flows(with.word(&WAY)) {
        flow.delay += with.span(&DELAY);
        flow.jitter = Some((with.span(&JITTER), draw.fork()));
    }
}
