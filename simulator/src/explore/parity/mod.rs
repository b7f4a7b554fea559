//! One scenario in several engines, and where their outcomes differ.

mod compare;
mod figures;

pub use compare::{Comparison, EngineOutcome, Row, Subject, compare};
pub use figures::Figures;
