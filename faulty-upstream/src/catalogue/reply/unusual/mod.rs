//! Good replies that look unusual: a correct proxy must accept them.

pub(in crate::catalogue) mod chunked_on_200;
pub(in crate::catalogue) mod http_10;
pub(in crate::catalogue) mod informational;
pub(in crate::catalogue) mod length_on_200;
pub(in crate::catalogue) mod no_reason;
