//! What scenarios may ask for and this world does not have.

use loadgen::action::What;

use crate::scenario::Scenario;

/// Each thing that `scenario` asks for and that can't be simulated here, with its place.
pub fn lacks(scenario: &Scenario) -> Vec<String> {
    let mut lacks = Vec::new();
    for (index, client) in scenario.clients.iter().enumerate() {
        let tls = client.actions().filter(|one| matches!(one.value().action.what, What::Tls { .. }));
        lacks.extend(tls.map(|one| {
            format!("clients[{index}].do: `{}`: TLS to targets is not simulated; use http or a tunnel", one.text())
        }));
    }
    lacks
}
