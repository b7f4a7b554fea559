//! Laws must hold in every run, whatever its scenario asks; each has a file, with a test that makes it fire.

mod all;
mod law;
pub(super) mod process;
mod requests;
#[cfg(test)]
mod twin;
mod upstreams;

pub use all::LAWS;
pub(super) use all::{NEED_ALL_CLIENTS, NEED_ALL_UPSTREAMS, NEED_FEATURES};
pub use law::{Check, Law, check};
