//! The catalogue, printed.

use serde_json::{Value as Json, json};

use super::list::CATALOGUE;
use crate::fault::Fault;

/// One line a fault, one more for each of its settings.
pub fn text() -> String {
    let mut text = String::new();
    let mut family = None;
    for fault in CATALOGUE {
        if family != Some(fault.family) {
            family = Some(fault.family);
            text.push_str(&format!("\n{}\n", fault.family.name()));
        }
        text.push_str(&format!("  {:<18} {}\n", fault.name, fault.summary));
        for param in fault.params {
            let (default, takes) = (param.default_json(), param.takes());
            text.push_str(&format!("  {:<18}   {}: {}; {takes} [{default}]\n", "", param.name, param.doc));
        }
    }
    text.trim_start().to_owned()
}

/// A list of objects.
pub fn json() -> Json {
    CATALOGUE.iter().map(of_fault).collect()
}

fn of_fault(fault: &Fault) -> Json {
    let settings: Vec<Json> = fault
        .params
        .iter()
        .map(|param| {
            let (default, takes) = (param.default_json(), param.takes());
            json!({ "name": param.name, "meaning": param.doc, "takes": takes, "default": default })
        })
        .collect();
    json!({
        "name": fault.name,
        "family": fault.family.name(),
        "summary": fault.summary,
        "strikes": fault.strikes(),
        "needs": fault.needs(),
        "settings": settings,
    })
}
