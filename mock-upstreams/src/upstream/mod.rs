//! One upstream proxy, and how it serves one connection.

mod forward;
pub mod intercept;
mod serve;
mod settings;
mod status;
pub mod tunnel;

pub use serve::{Handed, Upstream};
pub use settings::{Auth, Settings};
