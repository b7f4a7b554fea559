//! A faulty upstream proxy: a mock upstream that goes wrong as a plan says, in the ways that [`CATALOGUE`] lists.
//!
//! [`FaultyUpstream::serve`] serves one already connected stream and reaches targets through a `connect` closure, as the
//! mock does. Faults need more than bytes: a reset, which the stream supplies ([`Duplex`]), and a hold on the listener,
//! which the caller supplies ([`Listener`]). On real sockets [`listen::serve`] does it all; `examples/in_my_test.rs` shows
//! it in a test of an HTTP client.
//!
//! Which connection gets which fault is a pure function of the seed, the upstream's name, the plan entry, and the numbers of
//! the connection and the request ([`draw`]). So every run can be repeated.
//!
//! # Rooms
//!
//! A room imports only from the rooms that its row names.
//!
//! | Room | Holds | Imports |
//! |---|---|---|
//! | `draw` | random numbers that can be repeated | |
//! | `setting` | the settings of faults: declared beside the fault, read from JSON | |
//! | `effect` | what a fault does, as plain data: to a handshake, a reply, a tunnel, the listener | `draw` |
//! | `io` | what the caller supplies: a stream that can be reset, a listener that can be closed | `effect` |
//! | `fault` | what a fault is: name, settings, and a function that computes its effect | `draw`, `effect`, `setting` |
//! | `catalogue` | every fault, one file each, and their list | `draw`, `effect`, `fault`, `setting` |
//! | `plan` | which fault strikes, when, and which requests | `catalogue`, `draw`, `effect`, `fault`, `setting` |
//! | `upstream` | one upstream with a plan: plays on each connection what the plan decides | `effect`, `io`, `plan` |
//! | `listen` | accepts connections: on the caller's listener, or on real sockets | `effect`, `io`, `upstream` |
//! | `admin` | control of a running upstream over HTTP | `catalogue`, `plan`, `upstream` |
//! | `daemon` | what only the binary needs: command line, control of another process | `plan` |

pub mod admin;
pub mod catalogue;
pub mod draw;
mod effect;
pub mod fault;
mod io;
pub mod listen;
pub mod plan;
mod setting;
mod upstream;

pub use catalogue::CATALOGUE;
pub use effect::listener::State;
pub use fault::Fault;
pub use io::{Duplex, Listener};
pub use plan::Plan;
pub use setting::{Setting, SettingType};
pub use upstream::FaultyUpstream;
