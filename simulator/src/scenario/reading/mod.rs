//! A scenario file is read in steps: its shape, its scale, its values, and what they mean together.

mod meaning;
mod parse;
mod problem;
mod scale;
mod shape;

pub use parse::{load, load_scaled, parse};
pub use problem::Problem;
