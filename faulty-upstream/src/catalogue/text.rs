//! Prints the catalogue, as text and as JSON.

use serde_json::{Value as Json, json};

use super::list::CATALOGUE;
use crate::fault::Fault;

/// The catalogue as text: one line for each fault, and one for each of its settings.
pub fn text() -> String {
    let mut text = String::new();
    let mut family = None;
    for fault in CATALOGUE {
        if family != Some(fault.family) {
            family = Some(fault.family);
            text.push_str(&format!("\n{}\n", fault.family.name()));
        }
        text.push_str(&format!("  {:<18} {}\n", fault.name, fault.summary));
        for setting in fault.settings {
            let (default, takes) = (setting.default_json(), setting.takes());
            text.push_str(&format!("  {:<18}   {}: {}; {takes} [{default}]\n", "", setting.name, setting.doc));
        }
    }
    text.trim_start().to_owned()
}

/// The catalogue as a JSON list of objects.
pub fn json() -> Json {
    CATALOGUE.iter().map(of_fault).collect()
}

fn of_fault(fault: &Fault) -> Json {
    let settings: Vec<Json> = fault
        .settings
        .iter()
        .map(|setting| {
            let (default, takes) = (setting.default_json(), setting.takes());
            json!({ "name": setting.name, "meaning": setting.doc, "takes": takes, "default": default })
        })
        .collect();
    json!({
        "name": fault.name,
        "family": fault.family.name(),
        "summary": fault.summary,
        "strikes": fault.strikes().name(),
        "needs": fault.needs(),
        "settings": settings,
    })
}
