//! Stand-ins for upstream proxies: they answer CONNECT and absolute-form requests and write down what they saw.
//!
//! [`Upstream::serve`] serves *one already connected* byte stream and reaches targets through a `connect` closure, so
//! the same double runs on sockets, on in-memory pipes and in a simulation. Nothing in the library outside
//! [`listen`] opens a socket, spawns a task or reads a clock: those come in from the caller.
//!
//! HTTP is hyper's here, never the proxy's, so that one bug can't cancel itself out.

pub mod checksum;
pub mod client;
mod http;
pub mod journal;
pub mod listen;
pub mod request;
pub mod stream;
pub mod targets;
pub mod upstream;

pub use client::Client;
pub use journal::{Clock, Journal};
pub use request::{Asked, Form, Target};
pub use upstream::intercept::{Decision, Plain, Script};
pub use upstream::{Auth, Handed, Settings, Upstream};
