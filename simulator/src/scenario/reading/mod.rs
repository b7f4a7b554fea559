//! A scenario file is read in steps: its text against the schema, its scale, its values, and what they mean together.

mod meaning;
mod parse;
mod scale;

pub use parse::{load, load_scaled, parse};
