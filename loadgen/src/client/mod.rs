//! One request over one stream, its phases timed, from connecting to its outcome.

pub mod checksum;
mod connector;
mod http;
mod in_flight;
mod open_tunnels;
mod outcome;
mod perform;
mod record;
mod tunnel;
pub(crate) mod wire;

pub use connector::Net;
pub(crate) use in_flight::Kept;
pub use open_tunnels::Gauge;
pub use outcome::{Failure, Kind, Outcome, Phase};
pub(crate) use perform::{Due, perform};
pub use record::{Done, Phases};
