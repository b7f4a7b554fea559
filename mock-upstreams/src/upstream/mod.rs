//! One upstream proxy, and how it serves one connection.

mod forward;
pub mod intercept;
mod serve;
mod settings;
mod status;
pub mod tunnel;

pub use serve::{AfterHttp, Upstream};
pub use settings::{Auth, Settings};
