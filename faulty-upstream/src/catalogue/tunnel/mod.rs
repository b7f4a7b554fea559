//! Faults in the tunnel, by what they do to its bytes.

pub(super) mod bytes;
pub(super) mod end;
pub(super) mod pace;
mod way;
