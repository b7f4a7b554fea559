//! Every byte comes later.

use crate::catalogue::tunnel::way::WAY;
use crate::draw::Draw;
use crate::effect::tunnel::Effects;
use crate::fault::{Act, Family, Fault};
use crate::param::{Param, Values};

const DELAY: Param = Param::span("delay", 200, "how much later");
const JITTER: Param = Param::span("jitter", 0, "at most this much later still");

pub(in crate::catalogue) const FAULT: Fault = Fault {
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
