//! The matrix plays every fault against every subject: one of its upstreams goes wrong for a while, and clients of good manners tell what
//! they saw of it.

mod against;
mod cell;
mod play;
mod story;

pub use against::{Worse, worse};
pub use cell::{Cell, Shown, Tally};
pub use play::{Column, Matrix, VERSION, play, read};
pub use story::{PLAIN, TUNNEL, story};
