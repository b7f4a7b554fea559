//! Parity plays the same scenario in several engines and says where the outcomes differ.

mod compare;
mod figures;

pub use compare::{Comparison, Difference, EngineOutcome, Row, Story, compare};
pub use figures::Figures;
