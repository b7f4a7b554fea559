//! What of this machine a run needs: TCP, TLS settings, descriptors.

mod ask;
mod descriptors;
mod tcp;
mod tls;

pub(crate) use ask::{ask, get};
pub(crate) use descriptors::fit_descriptors;
pub(crate) use tcp::Tcp;
pub use tls::Trust;
pub(crate) use tls::tls;
