//! The certificate that the upstream shows has expired.

use mock_upstreams::tls::Flaw;

use crate::draw::Draw;
use crate::effect::handshake::Handshake;
use crate::fault::{Action, Family, Fault};
use crate::setting::SettingValues;

pub(in crate::catalogue) const FAULT: Fault = Fault {
    name: "certificate-expired",
    family: Family::Handshake,
    summary: "the certificate is no longer valid",
    settings: &[],
    action: Action::Handshake(act),
};

fn act(_: &SettingValues, _: &mut Draw) -> Handshake {
    Handshake::Flawed(Flaw::Expired)
}
