//! Ever slower, connection by connection, until it is restarted.

use crate::draw::Draw;
use crate::fault::{Act, Family, Fault, Moment};
use crate::param::{Param, Values};
use std::time::Duration;

const STEP: Param = Param::span("step", 10, "slower by this with every connection");
const MOST: Param = Param::span("most", 60_000, "never slower than this");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "leak",
    family: Family::Whole,
    summary: "every connection is answered slower than the one before",
    params: &[STEP, MOST],
    act: Act::Delay(act),
};

fn act(with: &Values, moment: &Moment, _: &mut Draw) -> Duration {
    let connections = u32::try_from(moment.connection).unwrap_or(u32::MAX);
    with.span(&STEP).saturating_mul(connections).min(with.span(&MOST))
}
