//! The netdrift proxy: CONNECT and plain HTTP over weighted upstream proxies.
//!
//! The binary and the simulator both start at [`proxy::Proxy`]; everything the outside world does to a
//! running proxy (bytes, time, randomness, tasks) comes in through [`env::Env`]. ARCHITECTURE.md is the map.

pub mod cli;
pub mod config;
pub mod core;
pub mod env;
