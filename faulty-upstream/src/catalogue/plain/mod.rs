//! Faults in the replies to requests for plain HTTP. The target is not asked.

pub(super) mod broken_chunk;
pub(super) mod cut_body;
pub(super) mod endless_body;
pub(super) mod keep_alive_lie;
pub(super) mod large_field;
pub(super) mod length_too_long;
pub(super) mod length_too_short;
pub(super) mod reset_body;
pub(super) mod reused_close;
pub(super) mod trailers;
