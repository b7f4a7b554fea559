//! The bytes of the tunnel are altered or regrouped.

pub(in crate::catalogue) mod corrupt;
pub(in crate::catalogue) mod duplicate;
pub(in crate::catalogue) mod slice;
