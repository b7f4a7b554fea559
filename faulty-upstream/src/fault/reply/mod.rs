//! In the reply.

pub(super) mod absurd_length;
pub(super) mod absurd_number;
pub(super) mod bare_lf;
pub(super) mod chunked_on_200;
pub(super) mod cut_head;
pub(super) mod drip;
pub(super) mod early_200_reset;
pub(super) mod endless_head;
pub(super) mod folded_line;
pub(super) mod garbage;
pub(super) mod glued;
pub(super) mod http2_preface;
pub(super) mod http_10;
pub(super) mod http_99;
pub(super) mod informational;
pub(super) mod large_line;
pub(super) mod length_on_200;
pub(super) mod many_lines;
pub(super) mod negative_number;
pub(super) mod no_reason;
pub(super) mod nul;
pub(super) mod reply_close;
pub(super) mod reply_first;
pub(super) mod reply_late;
pub(super) mod reply_never;
pub(super) mod reply_reset;
pub(super) mod stalled_tunnel;
pub(super) mod status;
pub(super) mod tls_bytes;
pub(super) mod two_replies;
pub(super) mod unfinished_head;

/// What a good upstream says to CONNECT.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
