//! Tests messages: whose requests are taken, how heads and bodies are passed on, and what is refused.

mod answers;
mod auth;
mod bodies;
mod expect;
mod hostile;
mod keepalive;
mod lenient;
mod negotiate;
pub(crate) mod plain;
mod plain_clients;
mod upgrade;
