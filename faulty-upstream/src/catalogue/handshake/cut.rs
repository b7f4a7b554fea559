//! The upstream ends the connection (FIN) in the middle of its ServerHello.

use crate::draw::Draw;
use crate::effect::handshake::Handshake;
use crate::fault::{Action, Family, Fault};
use crate::setting::{Setting, SettingValues};

/// A ServerHello has more than these.
const MOST: u64 = 100;
const AFTER: Setting = Setting::number("after", 50, 0..=MOST, "so many bytes of the ServerHello");

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "handshake-cut",
    family: Family::Handshake,
    summary: "ended in order within the ServerHello",
    settings: &[AFTER],
    action: Action::Handshake(act),
};

fn act(with: &SettingValues, _: &mut Draw) -> Handshake {
    Handshake::Cut(with.number(&AFTER))
}
