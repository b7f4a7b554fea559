//! Provides what a run needs of this machine: TCP to the proxy, TLS settings, file descriptors, and short questions over HTTP.

mod ask;
mod descriptors;
mod tcp;
mod tls;

pub(crate) use ask::{ask, get, get_json};
pub(crate) use descriptors::fit_descriptors;
pub(crate) use tcp::TcpConnector;
pub use tls::TargetTrust;
pub(crate) use tls::tls;
