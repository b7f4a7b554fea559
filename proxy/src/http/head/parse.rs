//! Takes a whole head apart into its start line and its fields.

use std::borrow::Cow;

use bytes::Bytes;

use super::mend::{Mended, has_strict_bytes, mend};
use super::{Fields, Head, HeadError, HeadLimits, Kind, Method, RequestHead, ResponseHead, Version, is_token};
use crate::http::authority::Authority;

/// Reads a request head, with or without one empty line before it.
///
/// # Errors
/// [`super::scan`] refuses it, there are bytes before or behind the head, a line is malformed, or there are too many fields.
pub fn parse_request(head: &[u8], limits: HeadLimits) -> Result<RequestHead, HeadError> {
    Head::whole(head, limits, Kind::Request)?.request(limits)
}

impl Head<'_> {
    /// Reads that of a request; see [`parse_request`].
    ///
    /// # Errors
    /// A line is malformed, or there are too many fields.
    pub(crate) fn request(self, limits: HeadLimits) -> Result<RequestHead, HeadError> {
        let (line, rest) = split(self.bytes())?;
        let mut words = line.split(|&b| b == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(HeadError::RequestLine);
        };
        let method = str::from_utf8(method).ok().and_then(Method::new).ok_or(HeadError::RequestLine)?;
        if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
            return Err(HeadError::RequestLine);
        }
        let target = str::from_utf8(target).map_err(|_| HeadError::RequestLine)?.to_owned();
        let version = parse_version(version).unwrap_or(Err(HeadError::RequestLine))?;
        Ok(RequestHead { method, target, version, fields: tokenize(rest, limits)? })
    }

    /// Reads that of a response; see [`parse_response`].
    ///
    /// # Errors
    /// A line is malformed, or there are too many fields.
    pub(crate) fn response(self, limits: HeadLimits) -> Result<ResponseHead, HeadError> {
        let head = self.bytes();
        // Most responses are strict: these need no second copy.
        if has_strict_bytes(head)
            && let (line, rest) = split(head)?
            && let Ok(fields) = tokenize(rest, limits)
        {
            return response_of(line, fields, false);
        }
        let Mended { lines: mended, disputed_framing } = mend(head.strip_prefix(b"\r\n").unwrap_or(head), true)?;
        let strict = match &mended {
            Cow::Borrowed(lines) => *lines,
            // It may have grown by a CR for each line.
            Cow::Owned(lines) => {
                let roomy = HeadLimits { max_bytes: lines.len(), ..limits };
                Head::whole(lines, roomy, Kind::Response)?.bytes()
            }
        };
        let (line, rest) = split(strict)?;
        let mut fields = tokenize(rest, limits)?;
        if matches!(mended, Cow::Owned(_)) {
            fields.push("Connection", "close");
        }
        response_of(line, fields, disputed_framing)
    }
}

/// Reads the first line of a response.
fn response_of(line: &[u8], fields: Fields, disputed_framing: bool) -> Result<ResponseHead, HeadError> {
    let (version, rest_of_line) = line.split_at_checked(8).ok_or(HeadError::StatusLine)?;
    let version = match version {
        // A message of a later 1.x can be read as one of 1.1 (RFC 9110 section 2.5).
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Version::Http11,
        version => parse_version(version).unwrap_or(Err(HeadError::StatusLine))?,
    };
    // More than one space may separate the words (RFC 9112 section 4). The reason is optional, and some senders then
    // leave out the space before it.
    let status = rest_of_line.trim_ascii_start();
    let (status, reason) = match status {
        _ if status.len() == rest_of_line.len() => return Err(HeadError::StatusLine),
        [a, b, c] => ([*a, *b, *c], &[][..]),
        [a, b, c, b' ' | b'\t', reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err(HeadError::StatusLine),
    };
    if !status.iter().all(u8::is_ascii_digit) || status[0] == b'0' {
        return Err(HeadError::StatusLine);
    }
    let status = status.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Ok(ResponseHead { version, status, reason: reason_phrase(reason), fields, disputed_framing })
}

/// Those that nearly every response has need no memory of their own.
fn reason_phrase(text: &[u8]) -> Bytes {
    const USUAL: [&[u8]; 3] = [b"OK", b"Connection established", b"Connection Established"];
    let usual = USUAL.into_iter().find(|usual| *usual == text);
    usual.map_or_else(|| Bytes::copy_from_slice(text), Bytes::from_static)
}

/// Whether a request that is malformed or incomplete begins like one with the method HEAD.
pub(crate) fn asks_by_head(bytes: &[u8]) -> bool {
    bytes.strip_prefix(b"\r\n").unwrap_or(bytes).starts_with(b"HEAD ")
}

/// Reads a response head, with or without one empty line before it.
///
/// If it breaks the rules, but can be read in one way only, it is mended (ARCHITECTURE.md, "Lenient and strict"). A head that
/// had to be mended is read as if it said `Connection: close`, because its sender may have framed the body wrongly, too.
///
/// # Errors
/// [`super::scan`] refuses it, there are bytes before or behind the head, a line is malformed, or there are too many fields.
pub fn parse_response(head: &[u8], limits: HeadLimits) -> Result<ResponseHead, HeadError> {
    Head::whole(head, limits, Kind::Response)?.response(limits)
}

/// Checks that a request has one valid Host (RFC 9112 section 3.2). A request of HTTP/1.0 may also have none. This must be called
/// before anything else is read from the request.
///
/// # Errors
/// There is no Host, or more than one, or one that is not `host[:port]`.
pub fn check_request(head: &RequestHead) -> Result<(), HeadError> {
    match head.fields.get_one("host") {
        Err(_) => Err(HeadError::ManyHosts),
        Ok(None) if head.version == Version::Http10 => Ok(()),
        Ok(None) => Err(HeadError::NoHost),
        Ok(Some(host)) => Authority::check_bytes(host, Some(80)).map_err(HeadError::Host),
    }
}

/// Reads field lines and the empty line behind them. Those of a response are mended first.
///
/// # Errors
/// A line is malformed, or there are too many fields.
pub(crate) fn parse_fields(lines: &[u8], limits: HeadLimits, kind: Kind) -> Result<Fields, HeadError> {
    match kind {
        Kind::Request => tokenize(lines, limits),
        // Fields that frame mean nothing here.
        Kind::Response => tokenize(&mend(lines, false)?.lines, limits),
    }
}

/// The heads that have no more field lines than this are read without memory on the side.
const FEW: usize = 16;

fn tokenize(lines: &[u8], limits: HeadLimits) -> Result<Fields, HeadError> {
    let mut few = [httparse::EMPTY_HEADER; FEW];
    if let Ok(httparse::Status::Complete((_, headers))) = httparse::parse_headers(lines, &mut few)
        && headers.len() <= limits.max_fields
    {
        return collect(lines, headers);
    }
    let count = lines.iter().filter(|&&b| b == b'\n').count().saturating_sub(1);
    if count > limits.max_fields {
        return Err(HeadError::TooManyFields);
    }
    let mut many = vec![httparse::EMPTY_HEADER; count];
    let Ok(httparse::Status::Complete((_, headers))) = httparse::parse_headers(lines, &mut many) else {
        return Err(HeadError::Field);
    };
    collect(lines, headers)
}

/// Copies what was read of `lines`.
fn collect(lines: &[u8], headers: &[httparse::Header<'_>]) -> Result<Fields, HeadError> {
    // Without the empty line.
    let mut fields = Fields::with_capacity(lines.len().saturating_sub(2), headers.len());
    for header in headers {
        if !is_token(header.name.as_bytes()) {
            return Err(HeadError::Field);
        }
        fields.push(header.name, header.value);
    }
    Ok(fields)
}

/// The start line without its end, and the lines behind it.
fn split(head: &[u8]) -> Result<(&[u8], &[u8]), HeadError> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let end = head.iter().position(|&b| b == b'\n').ok_or(HeadError::Incomplete)?;
    Ok((head[..end].strip_suffix(b"\r").unwrap_or(&head[..end]), &head[end + 1..]))
}

/// The version, or `None` if `text` is not a version at all.
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
