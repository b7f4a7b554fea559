//! The matrix plays every fault against every subject: one of its upstreams goes wrong for a while, and clients of good manners tell what
//! they saw of it. And it asks each subject for the features that it claims.

mod against;
mod cell;
mod feature_story;
mod play;
mod story;
mod trial;

pub use against::{Worse, worse};
pub use cell::{Cell, Share, Shown, Tally};
pub use play::{Column, Matrix, VERSION, play, read};
pub use story::{PLAIN, TUNNEL, story};
pub use trial::Trial;
