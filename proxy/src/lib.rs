//! The netdrift proxy: CONNECT and plain HTTP over weighted upstream proxies.
//!
//! The binary and the simulator both start at [`proxy::Proxy`]; everything the outside world does to a
//! running proxy (bytes, time, randomness, tasks) comes in through [`env::Env`]. ARCHITECTURE.md is the map.

mod addresses;
mod admin;
mod attempt;
pub mod auth;
pub mod authority;
pub mod body;
mod carry;
pub mod cli;
pub mod config;
pub mod control;
pub mod core;
mod dial;
pub mod env;
mod error;
pub mod event;
mod forward;
pub mod head;
mod leg;
mod life;
pub mod log;
pub mod pidfile;
mod pool;
mod prober;
pub mod proxy;
mod request;
pub mod rlimit;
mod server;
mod session;
pub mod target;
mod tunnel;
pub mod watch;
mod wire;
