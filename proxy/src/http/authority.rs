//! Reads a host and a port, as they stand in request targets, Host fields and URLs of upstreams.
//!
//! This is stricter than RFC 3986, because an upstream that resolves the name must not read it in another way than we do. So
//! percent-encoding and userinfo are refused, and so are numbers that some resolvers take for an address (`0x7f.1`, `127.1`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use thiserror::Error;

/// A host and a port. It displays as `host:port`, with IPv6 addresses in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port: 1 to 65535.
    pub port: u16,
}

/// A DNS name or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A name in lower case, with its trailing dot if it was written with one. It is never a text that reads as an address.
    Name(String),
    /// An address that was written as four decimal numbers.
    V4(Ipv4Addr),
    /// An address that was written in brackets, without a zone.
    V6(Ipv6Addr),
}

/// Why a text is not an [`Authority`]. It never repeats the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthorityError {
    /// Nothing precedes the port.
    #[error("the host is empty")]
    NoHost,
    /// There is an `@`, and something before it.
    #[error("user information is not accepted")]
    UserInfo,
    /// It has characters, labels or a length that no DNS name has.
    #[error("the host is not a valid name (letters, digits, hyphens, underscores and dots)")]
    Name,
    /// Some resolvers take it for an address, but it is not four decimal numbers.
    #[error("the host looks like an address but is not four decimal numbers")]
    Ipv4,
    /// There are brackets without an IPv6 address in them.
    #[error("the host is not a valid IPv6 address in brackets")]
    Ipv6,
    /// The port is missing, and there is no default.
    #[error("the port is missing")]
    NoPort,
    /// The port is not a decimal number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl Authority {
    /// Reads `host[:port]`. Without a `default_port`, the port is required.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, AuthorityError> {
        let (host, port) = split(text, default_port)?;
        Ok(Authority { host: Host::parse(host)?, port })
    }

    /// Whether [`Authority::parse`] would read the bytes of a field.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn check_bytes(text: &[u8], default_port: Option<u16>) -> Result<(), AuthorityError> {
        let (host, _) = split(str::from_utf8(text).map_err(|_| AuthorityError::Name)?, default_port)?;
        Spelling::of(host).map(drop)
    }

    /// As [`Authority::parse`], for the bytes of a field.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse_bytes(text: &[u8], default_port: Option<u16>) -> Result<Self, AuthorityError> {
        Authority::parse(str::from_utf8(text).map_err(|_| AuthorityError::Name)?, default_port)
    }

    /// It as text. `written` is what it was read from: with its port, it is mostly the same text.
    pub(crate) fn to_shared(&self, written: &str) -> Arc<str> {
        match &self.host {
            Host::Name(name) if is_name_and_port(written, name) => written.into(),
            Host::Name(name) if self.port == 80 => [name, ":80"].concat().into(),
            _ => self.to_string().into(),
        }
    }

    /// The text for a Host field and an `http` URL: without the port if that is 80.
    pub fn in_http(&self) -> String {
        let mut text = String::new();
        self.push_in_http(&mut text);
        text
    }

    /// Appends [`Authority::in_http`].
    pub(crate) fn push_in_http(&self, text: &mut String) {
        match &self.host {
            Host::Name(name) => text.push_str(name),
            host => text.push_str(&host.to_string()),
        }
        if self.port != 80 {
            text.push(':');
            text.push_str(&self.port.to_string());
        }
    }
}

/// Whether this text is that name in lower case, with a port.
fn is_name_and_port(written: &str, name: &str) -> bool {
    written.strip_prefix(name).is_some_and(|port| port.starts_with(':'))
}

/// The host and the port of `host[:port]`.
fn split(text: &str, default_port: Option<u16>) -> Result<(&str, u16), AuthorityError> {
    let (mut colon, mut behind_bracket) = (None, None);
    // Byte by byte, and once: to set up a search takes longer than texts of this length do.
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'@' => return Err(AuthorityError::UserInfo),
            b':' if colon.is_none() => colon = Some(at),
            b']' => behind_bracket = Some(at + 1),
            _ => {}
        }
    }
    // The colon before the port follows the bracket of an IPv6 address. Other hosts have no colon.
    let (host, port) = text.split_at(behind_bracket.or(colon).unwrap_or(text.len()));
    let port = match port.strip_prefix(':') {
        Some(digits) => parse_port(digits)?,
        None if port.is_empty() => default_port.ok_or(AuthorityError::NoPort)?,
        None => return Err(AuthorityError::Port),
    };
    Ok((host, port))
}

/// How a host is written.
enum Spelling<'a> {
    /// A name, in whatever case.
    Name(&'a str),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl<'a> Spelling<'a> {
    fn of(text: &'a str) -> Result<Self, AuthorityError> {
        if text.is_empty() {
            return Err(AuthorityError::NoHost);
        }
        if text.starts_with('[') || text.ends_with(']') {
            let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            return inside.and_then(|text| text.parse().ok()).map(Spelling::V6).ok_or(AuthorityError::Ipv6);
        }
        let name = text.strip_suffix('.').unwrap_or(text).as_bytes();
        let last = last_label(name).filter(|_| name.len() <= 253).ok_or(AuthorityError::Name)?;
        if is_number(last) {
            // A trailing dot is refused, too: resolvers differ on what an address with a dot means.
            return text.parse().map(Spelling::V4).map_err(|_| AuthorityError::Ipv4);
        }
        Ok(Spelling::Name(text))
    }
}

impl Host {
    /// Reads a name, an IPv4 address, or an IPv6 address in brackets.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, AuthorityError> {
        Ok(match Spelling::of(text)? {
            Spelling::Name(name) => Host::Name(name.to_ascii_lowercase()),
            Spelling::V4(ip) => Host::V4(ip),
            Spelling::V6(ip) => Host::V6(ip),
        })
    }

    /// The name or address as resolvers and certificates write it: IPv6 has no brackets.
    pub fn bare(&self) -> String {
        match self {
            Host::V6(ip) => ip.to_string(),
            host => host.to_string(),
        }
    }

    /// The address, if the host is one. An IPv4-mapped IPv6 address is returned as the IPv4 address that it reaches.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(ip) => Some(IpAddr::V4(*ip)),
            Host::V6(ip) => Some(IpAddr::V6(*ip).to_canonical()),
        }
    }
}

/// Reads decimal digits without a sign or leading zeros.
fn parse_port(digits: &str) -> Result<u16, AuthorityError> {
    if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AuthorityError::Port);
    }
    digits.parse().map_err(|_| AuthorityError::Port)
}

/// The last label of a name, if all of them are labels. In one pass: every request has two names.
fn last_label(name: &[u8]) -> Option<&[u8]> {
    let is_of_a_label = |length: usize| (1..=63).contains(&length);
    let mut start = 0;
    for (at, byte) in name.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {}
            b'.' if is_of_a_label(at - start) => start = at + 1,
            _ => return None,
        }
    }
    name.get(start..).filter(|label| is_of_a_label(label.len()))
}

/// Whether resolvers take this last label for a number (decimal, octal or hex), and therefore the whole name for an address.
fn is_number(label: &[u8]) -> bool {
    let hex = label.strip_prefix(b"0x").or_else(|| label.strip_prefix(b"0X"));
    hex.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) || label.iter().all(u8::is_ascii_digit)
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(ip) => ip.fmt(f),
            Host::V6(ip) => write!(f, "[{ip}]"),
        }
    }
}
