//! The upstream's side: who is picked, how it is reached, and what its answers say of it.

pub(crate) mod attempts;
mod certificate;
pub(crate) mod dial;
pub(crate) mod leg;
pub(crate) mod pool;
pub(crate) mod prober;
mod resolver;

pub use leg::TlsSetupError;
pub use pool::PoolError;
