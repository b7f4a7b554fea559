//! When the reply comes, or that none comes.

pub(in crate::catalogue) mod drip;
pub(in crate::catalogue) mod reply_close;
pub(in crate::catalogue) mod reply_first;
pub(in crate::catalogue) mod reply_late;
pub(in crate::catalogue) mod reply_never;
pub(in crate::catalogue) mod reply_reset;
