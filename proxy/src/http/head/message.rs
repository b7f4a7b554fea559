//! Holds the heads of requests and responses as values, and writes them.

use std::borrow::Cow;
use std::fmt;

use bytes::{Bytes, BytesMut};

use super::{Fields, is_token};

/// The versions that we speak. Messages of other versions are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no Transfer-Encoding, and the connection closes unless asked otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    /// The text for a start line.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }

    /// The text for Via.
    pub(crate) fn in_via(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
        }
    }
}

/// A request method: a token, compared with regard to case (RFC 9110 section 9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(Cow<'static, str>);

/// The registered ones that are met in the field.
const USUAL: [&str; 9] = ["CONNECT", "GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "TRACE"];

impl Method {
    /// `None` where `text` is not a token.
    pub fn new(text: &str) -> Option<Self> {
        if let Some(usual) = USUAL.into_iter().find(|usual| *usual == text) {
            return Some(Method(Cow::Borrowed(usual)));
        }
        is_token(text.as_bytes()).then(|| Method(Cow::Owned(text.to_owned())))
    }

    /// HEAD.
    pub fn head() -> Self {
        Method(Cow::Borrowed("HEAD"))
    }

    /// GET.
    pub fn get() -> Self {
        Method(Cow::Borrowed("GET"))
    }

    /// CONNECT.
    pub fn connect() -> Self {
        Method(Cow::Borrowed("CONNECT"))
    }

    /// The text for the request line.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, as what tells of requests holds it.
    pub fn to_text(&self) -> Cow<'static, str> {
        self.0.clone()
    }

    /// Whether it asks for a tunnel (RFC 9110 section 9.3.6).
    pub fn is_connect(&self) -> bool {
        self == "CONNECT"
    }

    /// Whether its responses have no body, whatever their fields say (RFC 9110 section 9.3.2).
    pub fn is_head(&self) -> bool {
        self == "HEAD"
    }

    /// Whether its requests have no body (RFC 9110 sections 9.3.6 and 9.3.8).
    pub(crate) fn has_no_body(&self) -> bool {
        self.is_connect() || self == "TRACE"
    }

    /// Whether a request may be sent again when nobody knows whether the first was acted on (RFC 9110 section 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(self.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
    }
}

impl PartialEq<str> for Method {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request line and its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The request target as sent: visible ASCII, not empty. [`crate::http::target::route`] reads it.
    pub target: String,
    /// The sender's version.
    pub version: Version,
    /// The field lines in order.
    pub fields: Fields,
}

impl RequestHead {
    /// Appends the whole head, the empty line included.
    pub fn write_to(&self, out: &mut BytesMut) {
        write_request_line(&self.method, &self.target, self.version, out);
        self.fields.write_to(out);
    }
}

/// Appends the first line of a request.
pub(crate) fn write_request_line(method: &Method, target: &str, version: Version, out: &mut BytesMut) {
    for part in [method.as_str(), " ", target, " ", version.as_str(), "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// A status line and its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The sender's version.
    pub version: Version,
    /// The status: 100 to 999.
    pub status: u16,
    /// The reason phrase. It may be empty, and has no control bytes but HTAB.
    pub reason: Bytes,
    /// The field lines in order.
    pub fields: Fields,
    /// Its fields say in two ways where its body ends, and one of them was so oddly written that some readers miss it.
    /// Only a response that has no body can be read in one way then.
    pub(crate) disputed_framing: bool,
}

impl ResponseHead {
    /// Whether another reply to the same request follows. None follows a 101, which ends HTTP on the connection.
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Appends the whole head, the empty line included.
    pub fn write_to(&self, out: &mut BytesMut) {
        self.write_status_line(self.version, out);
        self.fields.write_to(out);
    }

    /// Appends the first line, as one of `version`.
    pub(crate) fn write_status_line(&self, version: Version, out: &mut BytesMut) {
        let digits = [self.status / 100, self.status / 10 % 10, self.status % 10].map(|digit| b'0' + digit as u8);
        for part in [version.as_str().as_bytes(), b" ", &digits, b" ", &self.reason, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}
