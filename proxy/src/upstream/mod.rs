//! Reaches upstreams: picks them, connects to them, and judges their answers.

pub(crate) mod attempts;
mod certificate;
pub(crate) mod clock;
pub(crate) mod dial;
pub(crate) mod failed;
pub(crate) mod leg;
pub(crate) mod pool;
pub(crate) mod prober;
mod resolver;
#[cfg(test)]
mod tests;
pub(crate) mod warmer;

pub use leg::TlsSetupError;
pub use pool::PoolError;
