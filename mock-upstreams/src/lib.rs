//! Mock upstream proxies: they answer CONNECT and absolute-form requests, and keep a journal of what they saw.
//!
//! [`Upstream::serve`] serves *one already connected* byte stream and reaches targets through a `connect` closure of the
//! caller's. So the same mock runs on sockets, on in-memory pipes and in a simulation. Outside [`listen`] the library
//! opens no socket, spawns no task and reads no clock: the caller passes them in. `examples/journal_of_a_pipe.rs` shows it.
//!
//! HTTP is hyper's here and never the proxy's, so that one bug can't hide behind itself.
//!
//! # Rooms
//!
//! A room imports only from the rooms that its row names.
//!
//! | Room | Holds | Imports |
//! |---|---|---|
//! | `checksum` | the checksum and the length of bytes that went one way | |
//! | `stream` | copying byte streams, closing them in order, waiting | |
//! | `tls` | the certificates that doubles show | |
//! | `request` | what a client asked for: one request head, the target | |
//! | `journal` | what an upstream writes down: connections, requests, sums | `checksum`, `request` |
//! | `client` | a client's connection, with the record of its request | `journal` |
//! | `http` | what the mocks add to hyper: ready-made answers, bodies that are counted | `journal` |
//! | `targets` | the targets that are built in: `echo.mock` and the others | `checksum`, `http`, `request`, `stream`, `tls` |
//! | `upstream` | one upstream: its settings, and how it serves one connection | `client`, `http`, `journal`, `request`, `stream`, `targets`, `tls` |
//! | `listen` | real sockets: the accept loop, connecting to targets | `request`, `stream`, `targets`, `upstream` |
//! | `daemon` | what only the binary needs: command line, configuration file, PID files | `upstream` |

pub mod checksum;
mod client;
mod http;
pub mod journal;
pub mod listen;
mod request;
pub mod stream;
pub mod targets;
pub mod tls;
pub mod upstream;

pub use client::Client;
pub use journal::{Clock, Journal};
pub use request::{Form, ProxyRequest, Target};
pub use upstream::intercept::{Decision, Interceptor, NoInterceptor};
pub use upstream::{AfterHttp, Auth, Settings, Upstream};
