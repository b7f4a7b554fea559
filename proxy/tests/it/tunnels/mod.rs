//! Tests CONNECT and the tunnels that it opens.

mod by_hand;
mod connect;
mod curl;
mod empty;
mod refusal;
pub(crate) mod timing;
pub(crate) mod tunnel;
mod warm;
