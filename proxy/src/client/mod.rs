//! Serves clients, from an accepted connection to the end of its last request.

mod connect;
mod connection;
mod deadline;
mod error;
mod forward;
pub(crate) mod listener;
mod pages;
mod request;
pub(crate) mod requests;
mod session;
pub(crate) mod statistics;
mod tunnel;
pub(crate) mod tunnels;

pub(crate) use connection::Entrance;
