//! Reads a host and a port, as they stand in request targets, Host fields and URLs of upstreams.
//!
//! Stricter than RFC 3986: whoever resolves the name behind us must not read it in another way than we did. So
//! there is no percent-encoding, no userinfo, and no number that some resolvers take for an address (`0x7f.1`, `127.1`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// A host and a port. Displays as `host:port`, IPv6 in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Authority {
    /// Where.
    pub host: Host,
    /// 1 to 65535.
    pub port: u16,
}

/// A DNS name or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// In lower case, with its trailing dot if it came with one; never something that reads as an address.
    Name(String),
    /// Four decimal numbers.
    V4(Ipv4Addr),
    /// Came in brackets, without a zone.
    V6(Ipv6Addr),
}

/// Why a text is no [`Authority`]. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthorityError {
    /// Nothing before the port.
    #[error("the host is empty")]
    NoHost,
    /// Something before an `@`.
    #[error("user information is not accepted")]
    UserInfo,
    /// Characters, labels or a length no DNS name has.
    #[error("the host is not a valid name (letters, digits, hyphens, underscores and dots)")]
    Name,
    /// Reads as a number but not as four decimal ones.
    #[error("the host looks like an address but is not four decimal numbers")]
    Ipv4,
    /// Brackets without an IPv6 address in them.
    #[error("the host is not a valid IPv6 address in brackets")]
    Ipv6,
    /// No port where one must be.
    #[error("the port is missing")]
    NoPort,
    /// Not 1 to 65535 in decimal.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl Authority {
    /// Reads `host[:port]`; without a `default_port` the port must be there.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, AuthorityError> {
        if text.contains('@') {
            return Err(AuthorityError::UserInfo);
        }
        // Behind the bracket of an IPv6 address; elsewhere a host holds no colon.
        let host_ends = text.rfind(']').map_or_else(|| text.find(':').unwrap_or(text.len()), |bracket| bracket + 1);
        let (host, port) = text.split_at(host_ends);
        let port = match port.strip_prefix(':') {
            Some(digits) => parse_port(digits)?,
            None if port.is_empty() => default_port.ok_or(AuthorityError::NoPort)?,
            None => return Err(AuthorityError::Port),
        };
        Ok(Authority { host: Host::parse(host)?, port })
    }

    /// As [`Authority::parse`], for bytes of a field.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse_bytes(text: &[u8], default_port: Option<u16>) -> Result<Self, AuthorityError> {
        Authority::parse(str::from_utf8(text).map_err(|_| AuthorityError::Name)?, default_port)
    }

    /// As a Host field and an `http` URL say it: without the port where that is 80.
    pub fn in_http(&self) -> String {
        if self.port == 80 { self.host.to_string() } else { self.to_string() }
    }
}

impl Host {
    /// Reads a name, an IPv4 address, or an IPv6 address in brackets.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, AuthorityError> {
        if text.is_empty() {
            return Err(AuthorityError::NoHost);
        }
        if text.starts_with('[') || text.ends_with(']') {
            let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            return inside.and_then(|text| text.parse().ok()).map(Host::V6).ok_or(AuthorityError::Ipv6);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(AuthorityError::Name);
        }
        if name.rsplit('.').next().is_some_and(is_number) {
            // No trailing dot either: resolvers differ on what that makes of an address.
            return text.parse().map(Host::V4).map_err(|_| AuthorityError::Ipv4);
        }
        Ok(Host::Name(text.to_ascii_lowercase()))
    }

    /// The name or address as resolvers and certificates have it: IPv6 without brackets.
    pub fn bare(&self) -> String {
        match self {
            Host::V6(ip) => ip.to_string(),
            host => host.to_string(),
        }
    }

    /// The address, where it is one; IPv4-mapped IPv6 as the IPv4 it reaches.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(ip) => Some(IpAddr::V4(*ip)),
            Host::V6(ip) => Some(IpAddr::V6(*ip).to_canonical()),
        }
    }
}

/// Digits without a sign or leading zeros.
fn parse_port(digits: &str) -> Result<u16, AuthorityError> {
    if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AuthorityError::Port);
    }
    digits.parse().map_err(|_| AuthorityError::Port)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether resolvers take a last label for a number, and with it the whole name for an address (decimal, octal, hex).
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())) || label.bytes().all(|b| b.is_ascii_digit())
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
