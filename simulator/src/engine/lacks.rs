//! What scenarios may ask for and simulated worlds do not have.

use loadgen::action::What;

use crate::scenario::Scenario;

/// Each request over TLS that `scenario` asks for: certificates and handshakes are not simulated.
pub(super) fn tls(scenario: &Scenario) -> Vec<String> {
    let mut lacks = Vec::new();
    for (index, client) in scenario.clients.iter().enumerate() {
        let tls = client.actions().filter(|one| matches!(one.value().action.what, What::Tls { .. }));
        lacks.extend(tls.map(|one| {
            format!(
                "clients[{index}].do: `{}`: TLS to targets is not simulated; use http or a tunnel, or the live engine",
                one.text()
            )
        }));
    }
    lacks
}
