//! Which mutation is on. `scripts/mutations.sh` copies this file into the proxy that it breaks; the product has none of it.

use std::sync::OnceLock;

/// Whether the mutation of this `name` is on: the environment's `NETDRIFT_MUTATION` names one.
pub(crate) fn mutated(name: &str) -> bool {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("NETDRIFT_MUTATION").ok()).as_deref() == Some(name)
}
