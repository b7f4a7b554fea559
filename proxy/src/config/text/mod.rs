//! Reads the text of a configuration file: JSON that fits its schema, with its references resolved.
//!
//! Other kinds of files can be read with it, too: [`read`] the text, make it [`fit`] its schema, and let serde read what
//! is left if there are no [`Problems`](super::Problems).

pub(super) mod interpolate;
pub(super) mod json;
pub(super) mod problem;
pub(super) mod schema;
pub(super) mod span;

pub use json::{join, read};
pub use schema::{Dialect, fit, hint, schema_of};
pub use span::Span;
