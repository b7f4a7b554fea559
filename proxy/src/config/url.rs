//! Where an upstream or a check endpoint is: URLs and host:port, read strictly.
//!
//! No error here quotes the URL: a misplaced `/` or `@` makes any part of it a password.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use percent_encoding::percent_decode_str;

use super::{Credentials, Endpoint, Secret};

/// What `http(s)://[user[:password]@]host[:port]` says.
#[derive(Debug, PartialEq)]
pub(super) struct ProxyUrl {
    /// Whether it began with `https`.
    pub(super) tls: bool,
    /// Name in lower case, or address without brackets.
    pub(super) host: String,
    /// Given, or the scheme's.
    pub(super) port: u16,
    /// Whether the port was given.
    pub(super) port_given: bool,
    /// Decoded userinfo.
    pub(super) credentials: Option<Credentials>,
}

impl ProxyUrl {
    /// Reads the URL of an upstream.
    ///
    /// # Errors
    /// What is wrong and how to write it instead.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (tls, rest) = scheme(text).ok_or("must start with http:// or https://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(path, "" | "/") {
            return Err("must end behind host and port; a \"/\", \"?\" or \"#\" in a password is written \
                        %2F, %3F or %23"
                .to_owned());
        }
        let (userinfo, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let credentials = if userinfo.is_empty() { None } else { Some(credentials(userinfo)?) };
        let (host, port) = host_and_port(place)?;
        let default = if tls { 443 } else { 80 };
        Ok(ProxyUrl { tls, host, port: port.unwrap_or(default), port_given: port.is_some(), credentials })
    }

    /// The URL as it is shown: without credentials, with its port.
    pub(super) fn shown(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            format!("{scheme}://[{}]:{}", self.host, self.port)
        } else {
            format!("{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Reads a check endpoint: a URL, of which host and port count, or `host:port`.
///
/// # Errors
/// What is wrong and how to write it instead.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    let (default, place) = match scheme(text) {
        Some((tls, rest)) => {
            (Some(if tls { 443 } else { 80 }), &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())])
        }
        None => (None, text),
    };
    if place.contains('@') {
        return Err("must not carry a user name".to_owned());
    }
    let (host, port) = host_and_port(place)?;
    let port = port.or(default).ok_or("must be host:port, or a URL that starts with http:// or https://")?;
    Ok(Endpoint { host, port })
}

/// Whether the URL is https, and what follows its scheme.
fn scheme(text: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Some((false, rest)),
        "https" => Some((true, rest)),
        _ => None,
    }
}

fn credentials(userinfo: &str) -> Result<Credentials, String> {
    let (username, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let username = decode("user name", username)?;
    if username.contains(':') {
        return Err("the user name must not contain \":\", which ends it in Basic authentication".to_owned());
    }
    Ok(Credentials { username, password: Secret::new(decode("password", password)?) })
}

fn decode(what: &str, text: &str) -> Result<String, String> {
    for (at, _) in text.match_indices('%') {
        if !text.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(format!(
                "in the {what} a \"%\" is not followed by two hex digits; \"%\" itself is written %25"
            ));
        }
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| format!("the {what} must be UTF-8"))?;
    if decoded.contains(char::is_control) {
        return Err(format!("the {what} must not contain control characters"));
    }
    Ok(decoded.into_owned())
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), String> {
    let (name, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']').ok_or("\"[\" has no closing \"]\"")?;
            let address: Ipv6Addr =
                address.parse().map_err(|_| "between \"[\" and \"]\" must stand an IPv6 address")?;
            let port = match behind {
                "" => None,
                _ => Some(behind.strip_prefix(':').ok_or("behind \"]\" must follow \":\" and the port")?),
            };
            (address.to_string(), port)
        }
        None => {
            let (name, port) = place.split_once(':').map_or((place, None), |(name, port)| (name, Some(port)));
            if port.is_some_and(|port| port.contains(':')) {
                return Err(
                    "has more than one \":\" behind the credentials; an IPv6 address stands in brackets".to_owned()
                );
            }
            (host(name)?, port)
        }
    };
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port > 0).ok_or("the port must be from 1 to 65535")?)
        }
        Some(_) => return Err("the port must be a number from 1 to 65535".to_owned()),
    };
    Ok((name, port))
}

/// Reads a DNS name or an address without brackets, in lower case.
///
/// # Errors
/// What is wrong and how to write it instead.
pub(super) fn host(name: &str) -> Result<String, String> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    if name.is_empty() {
        return Err("the host is missing".to_owned());
    }
    if !name.is_ascii() {
        return Err("the host must be ASCII; a name in another script is written as xn--…".to_owned());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let dotless = name.strip_suffix('.').unwrap_or(name);
    if dotless.len() > 253 || !dotless.split('.').all(label) {
        return Err("the host must be a DNS name, an IPv4 address, or an IPv6 address in brackets".to_owned());
    }
    let last = dotless.rsplit('.').next().unwrap_or_default();
    // Resolvers read "10.1" or "127.0.0.256" each in their own way, so neither is a name nor an address to us.
    if last.bytes().all(|byte| byte.is_ascii_digit()) && dotless.parse::<Ipv4Addr>().is_err() {
        return Err("the host must be a DNS name or a whole IPv4 address such as 127.0.0.1".to_owned());
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ProxyUrl {
        ProxyUrl::read(text).unwrap_or_else(|err| panic!("{text}: {err}"))
    }

    #[test]
    fn reads_credentials_with_every_encoding_undone() {
        let read = url("http://user%40domain:p%40ss%3Aw0rd%25%2f%C3%A9@Proxy.Example.COM:8080/");
        let credentials = read.credentials.as_ref().unwrap();
        assert_eq!(credentials.username, "user@domain");
        assert_eq!(credentials.password.expose(), "p@ss:w0rd%/é");
        assert_eq!((read.host.as_str(), read.port), ("proxy.example.com", 8080));
        assert_eq!(read.shown(), "http://proxy.example.com:8080");
    }

    #[test]
    fn a_password_may_hold_colons_and_be_left_out() {
        assert_eq!(url("http://a:b:c@h:1").credentials.unwrap().password.expose(), "b:c");
        assert_eq!(url("http://a@h:1").credentials.unwrap().password.expose(), "");
        assert_eq!(url("http://@h:1").credentials, None);
    }

    #[test]
    fn ports_default_by_scheme_and_ipv6_stands_in_brackets() {
        let plain = url("HTTP://[2001:DB8::0:1]");
        assert_eq!((plain.host.as_str(), plain.port, plain.port_given), ("2001:db8::1", 80, false));
        assert_eq!(plain.shown(), "http://[2001:db8::1]:80");
        let tls = url("https://proxy.example.com");
        assert_eq!((tls.tls, tls.port), (true, 443));
        assert_eq!(url("https://[::1]:8443").shown(), "https://[::1]:8443");
    }

    #[test]
    fn refuses_what_could_be_read_two_ways() {
        for (text, what) in [
            ("socks5://h:1", "must start with http"),
            ("h:1", "must start with http"),
            ("http://", "host is missing"),
            ("http://:80", "host is missing"),
            ("http://h:0", "from 1 to 65535"),
            ("http://h:65536", "from 1 to 65535"),
            ("http://h:", "from 1 to 65535"),
            ("http://h:+80", "a number from 1"),
            ("http://h:80:80", "more than one"),
            ("http://::1:80", "more than one"),
            ("http://[::1", "no closing"),
            ("http://[::1]80", "behind \"]\""),
            ("http://[fe80::1%25eth0]:80", "an IPv6 address"),
            ("http://[example.com]:80", "an IPv6 address"),
            ("http://h/path", "must end behind"),
            ("http://h?x", "must end behind"),
            ("http://u:pa/ss@h:1", "must end behind"),
            ("http://u:p%zz@h:1", "two hex digits"),
            ("http://u:p%4@h:1", "two hex digits"),
            ("http://u:p%0d%0aX@h:1", "control characters"),
            ("http://u%00:p@h:1", "control characters"),
            ("http://u:p%FF@h:1", "UTF-8"),
            ("http://u%3Ax:p@h:1", "must not contain \":\""),
            ("http://exa mple.com:1", "a DNS name"),
            ("http://-a.com:1", "a DNS name"),
            ("http://a..b:1", "a DNS name"),
            ("http://bücher.example:1", "xn--"),
            ("http://127.1:1", "whole IPv4"),
            ("http://127.0.0.256:1", "whole IPv4"),
        ] {
            let err = ProxyUrl::read(text).expect_err(text);
            assert!(err.contains(what), "{text}: {err}");
        }
    }

    #[test]
    fn endpoints_are_urls_or_host_and_port() {
        let at = |host: &str, port| Endpoint { host: host.into(), port };
        assert_eq!(endpoint("https://api.ipify.org?format=json"), Ok(at("api.ipify.org", 443)));
        assert_eq!(endpoint("http://Example.com/ip"), Ok(at("example.com", 80)));
        assert_eq!(endpoint("http://example.com:8080/ip"), Ok(at("example.com", 8080)));
        assert_eq!(endpoint("echo.mock:7"), Ok(at("echo.mock", 7)));
        assert_eq!(endpoint("[::1]:7"), Ok(at("::1", 7)));
        for bad in ["example.com", "", "https://u:p@h/", "ftp://h:21", "https://h:99999"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
