//! Faults in the reply, by what they do to it.

pub(super) mod after_200;
pub(super) mod head_length;
pub(super) mod malformed;
pub(super) mod status;
pub(super) mod timing;
pub(super) mod unusual;
