//! Makes one request over one stream, from connecting to its outcome, and times its phases.

mod abuse;
mod active_request;
pub mod checksum;
mod connector;
mod http;
mod open_tunnels;
mod outcome;
mod perform;
mod record;
pub(crate) mod response;
mod tunnel;

pub(crate) use active_request::KeptConnection;
pub use connector::Connector;
pub use open_tunnels::OpenTunnels;
pub use outcome::{Failure, FailureKind, Outcome, Phase};
pub(crate) use perform::{Due, perform};
pub use record::{PhaseTimes, RequestRecord};
