//! Lists the reasons for which a head is refused.

use thiserror::Error;

use crate::http::authority::AuthorityError;

/// Why a head was refused. The text never repeats what the peer sent, so it may be shown to anyone.
///
/// After any of these nobody knows where the message ends, so the connection can't be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    /// A CR that no LF follows.
    #[error("bare CR in the head")]
    BareCr,
    /// An LF that no CR precedes.
    #[error("bare LF in the head: lines end in CRLF")]
    BareLf,
    /// NUL or another control byte.
    #[error("control byte in the head")]
    ControlByte,
    /// A line that starts with white space (obs-fold, or space before the first field).
    #[error("a line starts with white space; folded fields are not accepted")]
    Folded,
    /// More than one empty line before the start line.
    #[error("empty lines before the start line")]
    EmptyLines,
    /// The bytes are not exactly one head.
    #[error("the head is not complete")]
    Incomplete,
    /// The head exceeds [`super::HeadLimits::max_bytes`] behind its start line.
    #[error("the head is too large")]
    TooLarge,
    /// The head exceeds [`super::HeadLimits::max_bytes`] within its start line.
    #[error("the request line is too long")]
    StartLineTooLong,
    /// The head has more than [`super::HeadLimits::max_fields`] fields.
    #[error("the head has too many fields")]
    TooManyFields,
    /// The request line is not `method SP target SP version`.
    #[error("malformed request line")]
    RequestLine,
    /// The status line is not `version SP status [SP reason]`.
    #[error("malformed status line")]
    StatusLine,
    /// A well-formed HTTP version other than 1.0 and 1.1.
    #[error("unsupported HTTP version: 1.0 and 1.1 are spoken here")]
    Version,
    /// A field line that is not `token ":" value`.
    #[error("malformed field line")]
    Field,
    /// HTTP/1.1 without Host.
    #[error("no Host field")]
    NoHost,
    /// More than one Host.
    #[error("more than one Host field")]
    ManyHosts,
    /// A Host that names no host.
    #[error("bad Host field: {0}")]
    Host(AuthorityError),
    /// Content-Length beside Transfer-Encoding.
    #[error("Content-Length beside Transfer-Encoding")]
    LengthAndCoding,
    /// More than one Content-Length, equal or not.
    #[error("more than one Content-Length")]
    ManyLengths,
    /// The Content-Length is not digits alone, or is above 2^64 - 1.
    #[error("malformed Content-Length")]
    Length,
    /// Transfer-Encoding in an HTTP/1.0 message.
    #[error("Transfer-Encoding in HTTP/1.0")]
    CodingInHttp10,
    /// The Transfer-Encoding is empty, names a coding twice, is in several fields, or, in a request, does not end in chunked.
    #[error("malformed Transfer-Encoding")]
    Coding,
    /// A transfer coding other than chunked, before it in a request.
    #[error("unsupported transfer coding: only chunked is spoken here")]
    UnknownCoding,
    /// CONNECT or TRACE with a body.
    #[error("a body where none may be")]
    UnexpectedBody,
}

impl HeadError {
    /// The status with which a client is answered. A head of an upstream is always "malformed" (502).
    pub fn status(self) -> u16 {
        match self {
            HeadError::StartLineTooLong => 414,
            HeadError::TooLarge | HeadError::TooManyFields => 431,
            HeadError::UnknownCoding => 501,
            HeadError::Version => 505,
            _ => 400,
        }
    }

    /// The word for logs and metric labels.
    pub fn token(self) -> &'static str {
        match self {
            HeadError::BareCr => "bare_cr",
            HeadError::BareLf => "bare_lf",
            HeadError::ControlByte => "control_byte",
            HeadError::Folded => "folded_line",
            HeadError::EmptyLines => "empty_lines",
            HeadError::Incomplete => "incomplete_head",
            HeadError::TooLarge => "head_too_large",
            HeadError::StartLineTooLong => "start_line_too_long",
            HeadError::TooManyFields => "too_many_fields",
            HeadError::RequestLine => "bad_request_line",
            HeadError::StatusLine => "bad_status_line",
            HeadError::Version => "unsupported_version",
            HeadError::Field => "bad_field",
            HeadError::NoHost => "no_host",
            HeadError::ManyHosts => "many_hosts",
            HeadError::Host(_) => "bad_host",
            HeadError::LengthAndCoding => "length_and_coding",
            HeadError::ManyLengths => "many_lengths",
            HeadError::Length => "bad_length",
            HeadError::CodingInHttp10 => "coding_in_http10",
            HeadError::Coding => "bad_coding",
            HeadError::UnknownCoding => "unknown_coding",
            HeadError::UnexpectedBody => "unexpected_body",
        }
    }
}
