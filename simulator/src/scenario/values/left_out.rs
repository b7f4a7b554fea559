//! When a scenario is written, fields that have their default are left out.

use serde_json::Value as Json;

/// Whether `value` is the default.
pub(in crate::scenario) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether the field was left out.
pub(in crate::scenario) fn is_null(json: &Json) -> bool {
    json.is_null()
}
