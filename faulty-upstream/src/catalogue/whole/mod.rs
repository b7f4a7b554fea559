//! Faults of the upstream as a whole.

pub(super) mod blame_shifting;
pub(super) mod brown_out;
pub(super) mod die;
pub(super) mod flap;
pub(super) mod leak;
