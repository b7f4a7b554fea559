//! Reach is measured: what can happen is known beforehand, and what never happened is told.

mod catalogue;
mod gaps;
mod reached;
mod unreachable;

pub use catalogue::{Item, catalogue};
pub use gaps::Gaps;
pub use reached::{Reached, reached};
pub use unreachable::{UNREACHABLE, why_unreachable};
