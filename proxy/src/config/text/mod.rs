//! The text of a configuration file: JSON that fits the schema, its references resolved, and every problem named.

pub(super) mod interpolate;
pub(super) mod json;
pub(super) mod problem;
pub(super) mod shape;
pub(super) mod span;
