//! Replies that break the grammar of an HTTP head, or are no HTTP at all.

pub(in crate::catalogue) mod absurd_length;
pub(in crate::catalogue) mod absurd_number;
pub(in crate::catalogue) mod bare_lf;
pub(in crate::catalogue) mod folded_line;
pub(in crate::catalogue) mod garbage;
pub(in crate::catalogue) mod http2_preface;
pub(in crate::catalogue) mod http_99;
pub(in crate::catalogue) mod negative_number;
pub(in crate::catalogue) mod nul;
pub(in crate::catalogue) mod tls_bytes;
