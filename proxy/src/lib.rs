//! The netdrift proxy: CONNECT and plain HTTP over weighted upstream proxies.
//!
//! The binary and the simulator both start at [`proxy::Proxy`]; everything the outside world does to a
//! running proxy (bytes, time, randomness, tasks) comes in through [`env::Env`]. ARCHITECTURE.md is the map.

pub mod addresses;
mod attempt;
pub mod auth;
pub mod authority;
pub mod body;
pub mod config;
pub mod core;
mod dial;
pub mod env;
mod error;
pub mod event;
pub mod head;
pub mod leg;
pub mod pidfile;
mod pool;
pub mod rlimit;
pub mod target;
pub mod watch;
mod wire;
