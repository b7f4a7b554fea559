//! Serves targets inside the upstream, so that demos and tests need no internet.
//!
//! A target is chosen by the end of its name. Labels in front of that carry a request id and settings, as in
//! `r8f3.n1048576.source.mock`.

mod builtin;
mod echo;
mod http;
mod pattern;
mod sink;
mod slow;
mod source;
mod tls;
pub(crate) mod websocket;

pub use builtin::Builtin;
pub use pattern::{pattern, transferred_of_pattern};
