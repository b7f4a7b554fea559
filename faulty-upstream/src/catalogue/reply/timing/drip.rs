//! The head comes one byte at a time. This is a good reply.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Step, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::{Setting, SettingValues};
use bytes::Bytes;
use mock_upstreams::ProxyRequest;
use mock_upstreams::upstream::tunnel::ESTABLISHED;

const GAP: Setting = Setting::duration("gap", 0, "time between two bytes");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "drip",
    family: Family::Reply,
    summary: "the 200 comes a byte at a time",
    settings: &[GAP],
    action: Action::Reply(Requests::Connect, act),
};

fn act(with: &SettingValues, _: &ProxyRequest, _: &mut Draw) -> Reply {
    let gap = with.duration(&GAP);
    let bytes = ESTABLISHED.iter().map(|byte| Step::Write(Bytes::copy_from_slice(&[*byte])));
    let steps = bytes.flat_map(|byte| [byte, Step::Wait(gap)]).collect();
    Reply { status: Some(200), steps, then: Then::Tunnel }
}
