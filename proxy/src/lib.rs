//! The netdrift proxy: CONNECT and plain HTTP over weighted upstream proxies.
//!
//! The binary and the simulator both start at [`Proxy`]; everything the outside world does to a running proxy (bytes,
//! time, randomness, tasks) comes in through [`env::Env`]. ARCHITECTURE.md is the map.
//!
//! What passes through a room names it; imports only go down the stairs. `tests/tidy.rs` holds this table.
//!
//! | Room | Holds | Imports |
//! |---|---|---|
//! | `core` | who is picked, who is ejected, whose fault: plain values, no clock and no I/O | |
//! | `env` | the seam: sockets, tasks, clock, randomness; the operating system's side of it; the lock | |
//! | `http` | messages as bytes: heads, bodies, framing, targets, the bounded inbox | `env` |
//! | `config` | what the configuration file says, and the types that hold only good values of it | `http`, `core` |
//! | `event` | what the proxy tells of itself, and who listens: the counters that Prometheus reads, the memory of the last requests and changes of health | `env`, `core` |
//! | `upstream` | the upstream's side: pool, attempts, dialling, name lookups, probes | `event`, `config`, `http`, `env`, `core` |
//! | `authentication` | who may come in | `config`, `http`, `env` |
//! | `context` | what all of one proxy share, and the settings that a request began with | `authentication`, `upstream`, `event`, `config`, `http`, `env` |
//! | `client` | the client's side: listener, session, CONNECT, plain HTTP, our own pages, the record of a request | `context`, `authentication`, `upstream`, `event`, `config`, `http`, `env`, `core` |
//! | `proxy` | start, reload, drain, what is set by hand | `client`, `context`, `upstream`, `event`, `config`, `http`, `env`, `core` |
//! | `daemon` | what only a process on a machine needs: command line, log, PID file, control socket, file watching | `proxy`, `context`, `event`, `config`, `env`, `core` |
//! | `testing` | an environment in memory, for tests; only with the feature `testing` | `config`, `env` |

pub mod authentication;
mod client;
pub mod config;
mod context;
pub mod core;
pub mod daemon;
pub mod env;
pub mod event;
pub mod http;
mod proxy;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod upstream;

pub use context::{Health, Status};
pub use proxy::{
    CloseError, Comparison, Criteria, FilterError, Listeners, Operator, Order, Proxy, Reloaded, StartError, SteerError,
    Steered, TunnelFilter,
};
pub use upstream::{PoolError, TlsSetupError};
