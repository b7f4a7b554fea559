//! This room holds the requirements of RFC 9110, 9112, 9209 and 9931 that are addressed to proxies. Each has a check that is run over real
//! sockets against any subject: a client sends bytes, and it is looked at what the upstream saw and what the client got.

mod bench;
mod message;
mod requirement;
mod requirements;
mod run;

pub use requirement::{Level, Requirement};
pub use requirements::all;
pub use run::{Outcome, Results, check};
