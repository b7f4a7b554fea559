//! Values of a scenario file that are written as texts or numbers with a meaning of their own.

pub(super) mod clock_jump;
pub(super) mod left_out;
pub(super) mod rate;
pub(super) mod span;
pub(super) mod written;

pub use clock_jump::ClockJump;
pub use rate::Rate;
pub use span::Span;
pub use written::{Notation, Shared, Stages, Written};
