//! Some values of a scenario are texts or numbers in a notation of their own.

pub(super) mod clock_jump;
pub(super) mod left_out;
pub(super) mod rate;
pub(super) mod written;

pub use clock_jump::ClockJump;
pub use rate::Rate;
pub use written::{Notation, Written};
