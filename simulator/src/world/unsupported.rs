//! What scenarios may ask for and no engine has.

use loadgen::ActionKind;

use crate::scenario::Scenario;

/// Each request over TLS that `scenario` asks for: certificates and handshakes are not simulated, and outside of a
/// simulation they are loadgen's own to test.
pub(super) fn tls(scenario: &Scenario) -> Vec<String> {
    let mut found = Vec::new();
    for (index, client) in scenario.clients.iter().enumerate() {
        let tls = client.actions().filter(|one| matches!(one.value().action.kind, ActionKind::Tls { .. }));
        found.extend(tls.map(|one| {
            format!(
                "clients[{index}].do: `{}`: TLS to targets is not played; use http or a tunnel, or loadgen itself",
                one.text()
            )
        }));
    }
    found
}
