//! The upstream refuses to speak TLS with anybody.

use crate::draw::Draw;
use crate::effect::handshake::Handshake;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault};
use crate::setting::SettingValues;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "handshake-alert",
    family: Family::Handshake,
    summary: "an alert in the place of a ServerHello",
    settings: &[],
    action: Action::Handshake(act),
};

fn act(_: &SettingValues, _: &mut Draw) -> Handshake {
    // A record of type alert, TLS 1.2, of two bytes: fatal, handshake_failure (RFC 8446 section 6.2).
    Handshake::Answered(Reply::new(None, &[0x15, 3, 3, 0, 2, 2, 40][..], Then::Fin))
}
