//! The reply is random bytes.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::{Setting, SettingValues};
use bytes::Bytes;
use mock_upstreams::ProxyRequest;

const SIZE: Setting = Setting::number("size", 512, 1..=(1 << 20), "how many");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "garbage",
    family: Family::Reply,
    summary: "random bytes",
    settings: &[SIZE],
    action: Action::Reply(Requests::Any, act),
};

fn act(with: &SettingValues, _: &ProxyRequest, draw: &mut Draw) -> Reply {
    // No byte is an H, so that the reply can't begin like a status line by chance.
    let bytes = (0..with.number(&SIZE)).map(|_| draw.up_to(0xff) as u8).map(|byte| if byte == b'H' { 0 } else { byte });
    Reply::new(None, bytes.collect::<Bytes>(), Then::Hold)
}
