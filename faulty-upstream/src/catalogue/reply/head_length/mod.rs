//! Heads that are too large, never end, or end too early.

pub(in crate::catalogue) mod cut_head;
pub(in crate::catalogue) mod endless_head;
pub(in crate::catalogue) mod large_line;
pub(in crate::catalogue) mod many_lines;
pub(in crate::catalogue) mod unfinished_head;
