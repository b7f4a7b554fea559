//! The timeline page draws a run as one HTML file that needs no script and no network.

mod clustering;
mod disturbances;
mod ejections;
mod page;
mod picture;
mod requests;
mod scale;
mod svg;

pub(in crate::report) use page::STYLE;
pub use page::page;
pub(in crate::report) use picture::clock;
