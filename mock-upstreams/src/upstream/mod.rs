//! Plays one upstream proxy: holds its settings, and serves its connections.

mod forward;
pub mod intercept;
mod serve;
mod settings;
mod status;
pub mod tunnel;

pub use serve::{AfterHttp, Upstream};
pub use settings::{Auth, Settings};
