//! Reads and writes heads of HTTP/1 messages: finds them in a bounded buffer, checks each byte, and takes them apart.
//!
//! 1. [`scan`] looks for the end of the head while bytes arrive.
//! 2. [`parse_request`] or [`parse_response`] takes the head apart.
//! 3. [`check_request`] checks a request's Host.
//! 4. [`request_framing`] or [`response_framing`] decides where the body ends.
//!
//! A head that two readers could read in two ways is refused (RFC 9112 sections 2.2, 5, 6.3 and 11). A response that breaks
//! the rules, but can be read in one way only, is mended (ARCHITECTURE.md, "Lenient and strict"). A head that has passed these
//! steps has no bare CR or LF, no control byte and no folded line, and says in one way only where its body ends.

mod error;
mod fields;
mod framing;
mod mend;
mod message;
mod parse;
mod scan;

pub use error::HeadError;
pub(crate) use fields::write_line;
pub use fields::{Duplicate, Fields, Named};
pub use framing::{Framing, request_framing, response_framing};
pub(crate) use message::write_request_line;
pub use message::{Method, RequestHead, ResponseHead, Version};
pub(crate) use parse::{asks_by_head, parse_fields};
pub use parse::{check_request, parse_request, parse_response};
pub(crate) use scan::{Head, Lines, end_of_line, scan_trailers};
pub use scan::{Scan, scan};

/// Whether a message is a request or a response. Responses are read more leniently (ARCHITECTURE.md, "Lenient and strict").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From a client.
    Request,
    /// From an upstream.
    Response,
}

/// How large a head, or a trailer section, may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The most bytes from the first to the last CRLF, both included.
    pub max_bytes: usize,
    /// The most field lines.
    pub max_fields: usize,
}

/// Whether this is a token of RFC 9110 section 5.6.2: not empty, and of nothing but its 77 characters.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| TOKEN[usize::from(byte)])
}

/// Which bytes a token may have.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || is_token_sign(byte as u8);
        byte += 1;
    }
    table
};

const fn is_token_sign(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    )
}

#[cfg(test)]
mod leniency;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
