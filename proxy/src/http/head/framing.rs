//! Decides where a message's body ends, and refuses messages that say it in two ways (RFC 9112 section 6).

use super::{Fields, HeadError, Method, RequestHead, ResponseHead, Version};

pub(super) const LENGTH: &str = "content-length";
pub(super) const CODING: &str = "transfer-encoding";

/// Where a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The message has no body.
    None,
    /// The body ends after this many bytes.
    Length(u64),
    /// The body is chunked, and ends behind its last chunk and trailers.
    Chunked,
    /// The body ends with the connection. Only responses may.
    UntilClose,
}

impl Framing {
    /// Whether a body goes on behind its first `count` bytes, as far as its head tells.
    pub(crate) const fn is_longer_than(self, count: usize) -> bool {
        match self {
            Framing::None => false,
            Framing::Length(length) => length > count as u64,
            Framing::Chunked | Framing::UntilClose => true,
        }
    }
}

/// Where the body of a request ends.
///
/// A CONNECT and a TRACE have no body (RFC 9110 sections 9.3.6 and 9.3.8). They are refused if they announce one, except with
/// `Content-Length: 0`.
///
/// # Errors
/// The fields announce a body in two ways, in a malformed way, or in a way that we don't speak.
pub fn request_framing(head: &RequestHead) -> Result<Framing, HeadError> {
    match announced(&head.fields, head.version)? {
        None => Ok(Framing::None),
        Some(Framing::Length(0)) if head.method.has_no_body() => Ok(Framing::None),
        Some(_) if head.method.has_no_body() => Err(HeadError::UnexpectedBody),
        Some(framing) => Ok(framing),
    }
}

/// Where the body of a response to `method` ends. The fields are changed such that they announce that in one line or not at all.
/// This is not for a 2xx to CONNECT, whose fields mean nothing.
///
/// A response that never has a body ends with its head, whatever its fields say. Chunked beats a length. An announcement that
/// is repeated counts once (RFC 9112 sections 6.1 and 6.3). If fields had to be changed for that, the head also gets
/// `Connection: close`, since the upstream may have meant something else.
///
/// # Errors
/// The fields announce a body in two ways, in a malformed way, or in a way that we don't speak.
pub fn response_framing(head: &mut ResponseHead, method: &Method) -> Result<Framing, HeadError> {
    let disputed = std::mem::take(&mut head.disputed_framing);
    // As most say it: nothing to mend.
    if let (200, false, Some(length)) = (head.status, disputed || method.is_head(), the_length(&head.fields)) {
        return Ok(Framing::Length(length));
    }
    let announced =
        if disputed { Err(HeadError::LengthAndCoding) } else { announced_leniently(&head.fields, head.version) };
    let empty = Some(Framing::Length(0));
    if head.status == 204 && announced == Ok(empty) && is_announced_once(&head.fields, empty) {
        // Many servers say so of a 204. It must not (RFC 9110 section 8.6), but nobody can take it for something else.
        head.fields.remove(LENGTH);
        return Ok(Framing::None);
    }
    let (announces, framing) = match head.status {
        // These must not announce a body (RFC 9110 section 8.6).
        100..=199 | 204 => (None, Framing::None),
        // These announce the body that a GET would have got.
        304 => (announced.ok().flatten(), Framing::None),
        _ if method.is_head() => (announced.ok().flatten(), Framing::None),
        _ => {
            let announced = announced?;
            (announced, announced.unwrap_or(Framing::UntilClose))
        }
    };
    if !is_announced_once(&head.fields, announces) {
        head.fields.remove(LENGTH);
        head.fields.remove(CODING);
        match announces {
            Some(Framing::Length(length)) => head.fields.push("Content-Length", length.to_string()),
            Some(Framing::Chunked) => head.fields.push("Transfer-Encoding", "chunked"),
            Some(Framing::None | Framing::UntilClose) | None => {}
        }
        head.fields.push("Connection", "close");
    }
    Ok(framing)
}

/// The length, where one line alone announces a body, and that is a good one.
fn the_length(fields: &Fields) -> Option<u64> {
    if fields.contains(CODING) {
        return None;
    }
    parse_length(fields.get_one(LENGTH).ok()??).ok()
}

/// Whether one line announces `framing`, or no line announces anything.
fn is_announced_once(fields: &Fields, framing: Option<Framing>) -> bool {
    match (fields.get_one(LENGTH), fields.get_one(CODING)) {
        (Ok(None), Ok(None)) => matches!(framing, None | Some(Framing::UntilClose)),
        (Ok(Some(length)), Ok(None)) => {
            parse_length(length).is_ok_and(|length| framing == Some(Framing::Length(length)))
        }
        (Ok(None), Ok(Some(coding))) => coding.eq_ignore_ascii_case(b"chunked") && framing == Some(Framing::Chunked),
        _ => false,
    }
}

/// The framing that the fields of a request announce, if they announce one. Equal duplicates are refused like differing ones,
/// because no honest client sends them.
fn announced(fields: &Fields, version: Version) -> Result<Option<Framing>, HeadError> {
    let length = fields.get_one(LENGTH).map_err(|_| HeadError::ManyLengths)?;
    let coding = fields.get_one(CODING).map_err(|_| HeadError::Coding)?;
    match (length, coding) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(HeadError::LengthAndCoding),
        (Some(length), None) => Ok(Some(Framing::Length(parse_length(length)?))),
        (None, Some(_)) if version == Version::Http10 => Err(HeadError::CodingInHttp10),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Some(Framing::Chunked)),
        (None, Some(coding)) => Err(refused_coding(coding)),
    }
}

/// The framing that the fields of a response announce, if they announce one.
///
/// A Transfer-Encoding in HTTP/1.0 is refused, because some readers ignore it. So is `identity` beside a length, because readers
/// differ on it. For `identity` alone all read on until the connection closes.
fn announced_leniently(fields: &Fields, version: Version) -> Result<Option<Framing>, HeadError> {
    if !fields.contains(CODING) {
        return same_length(fields);
    }
    if version == Version::Http10 {
        return Err(HeadError::CodingInHttp10);
    }
    let mut codings = fields.list(CODING);
    let is = |coding: &[u8], name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
    match codings.next() {
        None => Err(HeadError::Coding),
        // A sender must not apply chunked twice, so one that names it twice has applied it once (RFC 9112 section 6.1).
        Some(first) if is(first, "chunked") && codings.all(|coding| is(coding, "chunked")) => {
            Ok(Some(Framing::Chunked))
        }
        Some(first) if is(first, "identity") && codings.next().is_none() => {
            if fields.contains(LENGTH) {
                Err(HeadError::LengthAndCoding)
            } else {
                Ok(Some(Framing::UntilClose))
            }
        }
        Some(_) if fields.list(CODING).any(|coding| is(coding, "chunked")) => Err(HeadError::Coding),
        Some(_) => Err(HeadError::UnknownCoding),
    }
}

/// The length that all lines, and all members of each line, agree on (RFC 9110 section 8.6).
fn same_length(fields: &Fields) -> Result<Option<Framing>, HeadError> {
    let mut lengths =
        fields.get_all(LENGTH).flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    let Some(first) = lengths.next() else { return Ok(None) };
    let first = parse_length(first)?;
    for other in lengths {
        if parse_length(other)? != first {
            return Err(HeadError::ManyLengths);
        }
    }
    Ok(Some(Framing::Length(first)))
}

/// What is wrong with a Transfer-Encoding of a request that is not `chunked` alone. Chunked must come once and last, else nobody
/// knows where the body ends (RFC 9112 section 6.3). We speak no coding that could come before it.
fn refused_coding(value: &[u8]) -> HeadError {
    let codings: Vec<&[u8]> = value.split(|&b| b == b',').map(<[u8]>::trim_ascii).collect();
    let chunked = codings.iter().position(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    if codings.iter().any(|coding| coding.is_empty()) || chunked != Some(codings.len() - 1) {
        return HeadError::Coding;
    }
    HeadError::UnknownCoding
}

/// Reads a number of digits and nothing else (RFC 9110 section 8.6).
fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    let digit = |sum: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    (!value.is_empty()).then(|| value.iter().try_fold(0, digit)).flatten().ok_or(HeadError::Length)
}
