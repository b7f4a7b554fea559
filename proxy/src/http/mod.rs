//! Reads and writes HTTP/1 messages as bytes: heads, targets, bodies, and the bounded buffer that they are read from.

pub mod authority;
pub mod body;
pub(crate) mod carry;
pub(crate) mod date;
pub mod head;
pub(crate) mod inbox;
pub(crate) mod replies;
pub mod target;
pub(crate) mod via;
