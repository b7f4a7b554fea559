//! From the text of a scenario file to a scenario that can be played, or to all that is wrong with it.

mod meaning;
mod parse;
mod problem;
mod scale;
mod shape;

pub use parse::{load, load_scaled, parse};
pub use problem::Problem;
