//! Reads scenario files in four steps: the text must fit the schema, times are scaled, values are read, and rules over several fields are
//! checked.

mod meaning;
mod parse;
mod scale;
mod tls;

pub use parse::{load, load_scaled, parse};
