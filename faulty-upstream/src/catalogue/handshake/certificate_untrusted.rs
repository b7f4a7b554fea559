//! An authority that nobody trusts has signed the certificate that the upstream shows.

use mock_upstreams::tls::Flaw;

use crate::draw::Draw;
use crate::effect::handshake::Handshake;
use crate::fault::{Action, Family, Fault};
use crate::setting::SettingValues;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "certificate-untrusted",
    family: Family::Handshake,
    summary: "the certificate is signed by nobody who is trusted",
    settings: &[],
    action: Action::Handshake(act),
};

fn act(_: &SettingValues, _: &mut Draw) -> Handshake {
    Handshake::Flawed(Flaw::Untrusted)
}
