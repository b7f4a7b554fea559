//! The port speaks HTTP without TLS, as one does behind which TLS was switched off.

use crate::draw::Draw;
use crate::effect::handshake::Handshake;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault};
use crate::setting::SettingValues;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "handshake-http",
    family: Family::Handshake,
    summary: "plain HTTP in the place of a ServerHello",
    settings: &[],
    action: Action::Handshake(act),
};

fn act(_: &SettingValues, _: &mut Draw) -> Handshake {
    let refusal = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    Handshake::Answered(Reply::new(Some(400), refusal, Then::Fin))
}
