//! Faults before the head of a request is read.

pub(super) mod accept_close;
pub(super) mod accept_late;
pub(super) mod accept_reset;
pub(super) mod accept_silent;
pub(super) mod backlog_full;
pub(super) mod refuse;
