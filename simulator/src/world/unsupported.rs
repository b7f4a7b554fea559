//! Scenarios may ask for TLS to targets, which no engine offers.

use loadgen::ActionKind;

use crate::scenario::Scenario;

/// Names each request over TLS that `scenario` asks for. Certificates and handshakes are not simulated, and on real
/// sockets loadgen tests them by itself.
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
