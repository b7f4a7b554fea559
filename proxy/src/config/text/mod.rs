//! Reads the text of a configuration file: JSON that fits the schema, with its references resolved.

pub(super) mod interpolate;
pub(super) mod json;
pub(super) mod problem;
pub(super) mod shape;
pub(super) mod span;
