//! Tests which upstreams are used, blamed, ejected and probed, and how they are reached.

mod balance;
mod blame;
mod chains;
mod checks;
mod failover;
mod health;
mod law;
mod names;
mod probes;
mod retry;
pub(crate) mod tls;
mod tls_ends;
