//! A run as a picture: one HTML page that needs nothing else, no script and no network.

mod clustering;
mod disturbances;
mod ejections;
mod page;
mod picture;
mod requests;
mod scale;
mod svg;

pub use page::page;
