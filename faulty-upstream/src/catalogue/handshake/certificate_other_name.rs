//! The certificate that the upstream shows is for another name.

use mock_upstreams::tls::Flaw;

use crate::draw::Draw;
use crate::effect::handshake::Handshake;
use crate::fault::{Action, Family, Fault};
use crate::setting::SettingValues;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "certificate-other-name",
    family: Family::Handshake,
    summary: "the certificate is for another name",
    settings: &[],
    action: Action::Handshake(act),
};

fn act(_: &SettingValues, _: &mut Draw) -> Handshake {
    Handshake::Flawed(Flaw::OtherName)
}
