//! Some fields are left out when a scenario is written: those that a reader would fill in.

use serde_json::Value as Json;

/// It is what a reader would fill in.
pub(in crate::scenario) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Nothing was said.
pub(in crate::scenario) fn is_null(json: &Json) -> bool {
    json.is_null()
}
