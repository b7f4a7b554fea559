//! Takes a whole head apart into its start line and its fields.

use bytes::Bytes;

use super::{Fields, HeadError, HeadLimits, Method, RequestHead, ResponseHead, Scan, Version, is_token, scan};
use crate::http::authority::Authority;

/// Reads a request head, with or without one empty line before it.
///
/// # Errors
/// Whatever [`scan`] refuses, bytes before or behind the one head, a malformed line, too many fields.
pub fn parse_request(head: &[u8], limits: HeadLimits) -> Result<RequestHead, HeadError> {
    let (line, rest) = split(head.strip_prefix(b"\r\n").unwrap_or(head), limits)?;
    let mut words = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HeadError::RequestLine);
    };
    let method = str::from_utf8(method).ok().and_then(Method::new).ok_or(HeadError::RequestLine)?;
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err(HeadError::RequestLine);
    }
    let target = str::from_utf8(target).map_err(|_| HeadError::RequestLine)?.to_owned();
    let version = parse_version(version).unwrap_or(Err(HeadError::RequestLine))?;
    Ok(RequestHead { method, target, version, fields: parse_fields(rest, limits)? })
}

/// Reads a response head.
///
/// # Errors
/// Whatever [`scan`] refuses, bytes before or behind the one head, a malformed line, too many fields.
pub fn parse_response(head: &[u8], limits: HeadLimits) -> Result<ResponseHead, HeadError> {
    let (line, rest) = split(head, limits)?;
    let (version, rest_of_line) = line.split_at_checked(8).ok_or(HeadError::StatusLine)?;
    let version = parse_version(version).unwrap_or(Err(HeadError::StatusLine))?;
    // The reason is optional, and so in practice is the space before it.
    let (status, reason) = match rest_of_line {
        [b' ', status @ ..] if status.len() == 3 => (status, &[][..]),
        [b' ', a, b, c, b' ', reason @ ..] => (&[*a, *b, *c][..], reason),
        _ => return Err(HeadError::StatusLine),
    };
    if !status.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::StatusLine);
    }
    let status = status.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    if !(100..=599).contains(&status) {
        return Err(HeadError::StatusLine);
    }
    Ok(ResponseHead { version, status, reason: Bytes::copy_from_slice(reason), fields: parse_fields(rest, limits)? })
}

/// Checks what a request must have before anything else is read from it: one valid Host (RFC 9112 section 3.2); in
/// HTTP/1.0 it may also have none.
///
/// # Errors
/// No Host, more than one, or one that is no `host[:port]`.
pub fn check_request(head: &RequestHead) -> Result<(), HeadError> {
    match head.fields.get_one("host") {
        Err(_) => Err(HeadError::ManyHosts),
        Ok(None) if head.version == Version::Http10 => Ok(()),
        Ok(None) => Err(HeadError::NoHost),
        Ok(Some(host)) => Authority::parse_bytes(host, Some(80)).map(drop).map_err(HeadError::Host),
    }
}

/// Reads field lines and the empty line behind them.
///
/// # Errors
/// Malformed lines, too many fields.
pub(crate) fn parse_fields(lines: &[u8], limits: HeadLimits) -> Result<Fields, HeadError> {
    let count = lines.iter().filter(|&&b| b == b'\n').count().saturating_sub(1);
    if count > limits.max_fields {
        return Err(HeadError::TooManyFields);
    }
    let mut slots = vec![httparse::EMPTY_HEADER; count];
    let Ok(httparse::Status::Complete((_, headers))) = httparse::parse_headers(lines, &mut slots) else {
        return Err(HeadError::Field);
    };
    let mut fields = Fields::with_capacity(lines.len(), headers.len());
    for header in headers {
        if !is_token(header.name.as_bytes()) {
            return Err(HeadError::Field);
        }
        fields.push(header.name, header.value);
    }
    Ok(fields)
}

/// The start line without its CRLF, and the lines behind it, of a head that [`scan`] accepts.
fn split(head: &[u8], limits: HeadLimits) -> Result<(&[u8], &[u8]), HeadError> {
    match scan(head, &mut 0, limits)? {
        Scan::Complete(length) if length == head.len() => {}
        _ => return Err(HeadError::Incomplete),
    }
    let end = head.iter().position(|&b| b == b'\r').ok_or(HeadError::Incomplete)?;
    Ok((&head[..end], &head[end + 2..]))
}

/// `None` where `text` is not a version at all.
fn parse_version(text: &[u8]) -> Option<Result<Version, HeadError>> {
    match text {
        b"HTTP/1.1" => Some(Ok(Version::Http11)),
        b"HTTP/1.0" => Some(Ok(Version::Http10)),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Some(Err(HeadError::Version))
        }
        _ => None,
    }
}
