//! Decides where a message's body ends; refuses what says it in two ways (RFC 9112 section 6).

use super::{Fields, HeadError, Method, RequestHead, ResponseHead, Version};

/// Where a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After this many bytes.
    Length(u64),
    /// Behind its last chunk and trailers.
    Chunked,
    /// With the connection: responses only.
    UntilClose,
}

/// Where the body of a request ends.
///
/// A CONNECT has none (RFC 9110 section 9.3.6): whatever announces one but `Content-Length: 0` is refused.
///
/// # Errors
/// A body announced in two ways, in one that is malformed, or in one that is not spoken here.
pub fn request_framing(head: &RequestHead) -> Result<Framing, HeadError> {
    match announced(&head.fields, head.version)? {
        None => Ok(Framing::None),
        Some(Framing::Length(0)) if head.method.is_connect() => Ok(Framing::None),
        Some(_) if head.method.is_connect() => Err(HeadError::UnexpectedBody),
        Some(framing) => Ok(framing),
    }
}

/// Where the body of a response to `method` ends. Not for a 2xx to CONNECT, whose fields mean nothing.
///
/// 1xx and 204 may say `Content-Length: 0`, which some servers do and nobody can misread; any other length or coding
/// in them is refused.
///
/// # Errors
/// A body announced in two ways, in one that is malformed, or in one that is not spoken here.
pub fn response_framing(head: &ResponseHead, method: &Method) -> Result<Framing, HeadError> {
    let announced = announced(&head.fields, head.version)?;
    match (head.status, announced) {
        (100..=199 | 204, None | Some(Framing::Length(0))) => Ok(Framing::None),
        (100..=199 | 204, Some(_)) => Err(HeadError::UnexpectedBody),
        (304, _) => Ok(Framing::None),
        _ if method.is_head() => Ok(Framing::None),
        (_, framing) => Ok(framing.unwrap_or(Framing::UntilClose)),
    }
}

/// What the fields say, if they say anything. Equal duplicates are refused as well as differing ones: no honest
/// sender needs them.
fn announced(fields: &Fields, version: Version) -> Result<Option<Framing>, HeadError> {
    let length = fields.get_one("content-length").map_err(|_| HeadError::ManyLengths)?;
    let coding = fields.get_one("transfer-encoding").map_err(|_| HeadError::Coding)?;
    match (length, coding) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(HeadError::LengthAndCoding),
        (Some(length), None) => Ok(Some(Framing::Length(parse_length(length)?))),
        (None, Some(_)) if version == Version::Http10 => Err(HeadError::CodingInHttp10),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Some(Framing::Chunked)),
        (None, Some(coding)) => Err(refused_coding(coding)),
    }
}

/// What is wrong with a Transfer-Encoding that is not `chunked` alone: chunked must come once and last, and
/// whatever would come before it is not spoken here.
fn refused_coding(value: &[u8]) -> HeadError {
    let mut codings = value.split(|&b| b == b',').map(<[u8]>::trim_ascii).peekable();
    while let Some(coding) = codings.next() {
        if coding.is_empty() || (coding.eq_ignore_ascii_case(b"chunked") && codings.peek().is_some()) {
            return HeadError::Coding;
        }
    }
    HeadError::UnknownCoding
}

/// Digits and nothing else (RFC 9110 section 8.6).
fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::Length);
    }
    str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).ok_or(HeadError::Length)
}
