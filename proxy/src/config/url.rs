//! Reads the URLs of upstreams and the `host:port` of check endpoints, strictly.
//!
//! No error here quotes the URL: a misplaced `/` or `@` makes any part of it a password.

use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;

use super::{Credentials, Secret};
use crate::http::authority::{Authority, Host};

/// What `http(s)://[user[:password]@]host[:port]` says.
#[derive(Debug, PartialEq)]
pub(super) struct ProxyUrl {
    /// Whether it began with `https`.
    pub(super) tls: bool,
    /// The host, and the port that was given or is the scheme's.
    pub(super) authority: Authority,
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
        let (userinfo, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
        let credentials = if userinfo.is_empty() { None } else { Some(credentials(userinfo)?) };
        let port_given = host_and_port(authority, None).is_ok();
        let authority = host_and_port(authority, Some(if tls { 443 } else { 80 }))?;
        Ok(ProxyUrl { tls, authority, port_given, credentials })
    }

    /// The URL as it is shown: without credentials, with its port.
    pub(super) fn shown(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

/// Reads a check endpoint: a URL, of which host and port count, or `host:port`.
///
/// # Errors
/// What is wrong and how to write it instead.
pub(super) fn endpoint(text: &str) -> Result<Authority, String> {
    let (default, authority) = match scheme(text) {
        Some((tls, rest)) => {
            (Some(if tls { 443 } else { 80 }), &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())])
        }
        None => (None, text),
    };
    if default.is_none() && !authority.contains(':') {
        return Err("must be host:port, or a URL that starts with http:// or https://".to_owned());
    }
    host_and_port(authority, default)
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

fn host_and_port(text: &str, default_port: Option<u16>) -> Result<Authority, String> {
    if !text.starts_with('[') && text.matches(':').count() > 1 {
        return Err("has more than one \":\" behind the credentials; an IPv6 address stands in brackets".to_owned());
    }
    if text.starts_with('[') && !text.contains(']') {
        return Err("\"[\" has no closing \"]\"".to_owned());
    }
    check_ascii(text)?;
    Authority::parse(text, default_port).map_err(|error| error.to_string())
}

/// Reads a host by the rules of HTTP; an IPv6 address may stand without brackets.
///
/// # Errors
/// What is wrong and how to write it instead.
pub(super) fn host(text: &str) -> Result<Host, String> {
    check_ascii(text)?;
    match text.parse::<Ipv6Addr>() {
        Ok(address) => Ok(Host::V6(address)),
        Err(_) => Host::parse(text).map_err(|error| error.to_string()),
    }
}

fn check_ascii(text: &str) -> Result<(), String> {
    if text.is_ascii() {
        Ok(())
    } else {
        Err("the host must be ASCII; a name in another script is written as xn--…".to_owned())
    }
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
        assert_eq!(read.authority.to_string(), "proxy.example.com:8080");
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
        assert_eq!((plain.authority.to_string().as_str(), plain.port_given), ("[2001:db8::1]:80", false));
        assert_eq!(plain.shown(), "http://[2001:db8::1]:80");
        let tls = url("https://proxy.example.com");
        assert_eq!((tls.tls, tls.authority.port), (true, 443));
        assert_eq!(url("https://[::1]:8443").shown(), "https://[::1]:8443");
    }

    #[test]
    fn refuses_what_could_be_read_two_ways() {
        for (text, what) in [
            ("socks5://h:1", "must start with http"),
            ("h:1", "must start with http"),
            ("http://", "host is empty"),
            ("http://:80", "host is empty"),
            ("http://h:0", "from 1 to 65535"),
            ("http://h:65536", "from 1 to 65535"),
            ("http://h:", "from 1 to 65535"),
            ("http://h:+80", "a number from 1"),
            ("http://h:80:80", "more than one"),
            ("http://::1:80", "more than one"),
            ("http://[::1", "no closing"),
            ("http://[::1]80", "from 1 to 65535"),
            ("http://[fe80::1%25eth0]:80", "IPv6 address in brackets"),
            ("http://[example.com]:80", "IPv6 address in brackets"),
            ("http://h/path", "must end behind"),
            ("http://h?x", "must end behind"),
            ("http://u:pa/ss@h:1", "must end behind"),
            ("http://u:p%zz@h:1", "two hex digits"),
            ("http://u:p%4@h:1", "two hex digits"),
            ("http://u:p%0d%0aX@h:1", "control characters"),
            ("http://u%00:p@h:1", "control characters"),
            ("http://u:p%FF@h:1", "UTF-8"),
            ("http://u%3Ax:p@h:1", "must not contain \":\""),
            ("http://exa mple.com:1", "a valid name"),
            ("http://a..b:1", "a valid name"),
            ("http://bücher.example:1", "xn--"),
            ("http://127.1:1", "four decimal numbers"),
            ("http://0x7f.1:1", "four decimal numbers"),
            ("http://127.0.0.256:1", "four decimal numbers"),
        ] {
            let err = ProxyUrl::read(text).expect_err(text);
            assert!(err.contains(what), "{text}: {err}");
        }
    }

    #[test]
    fn endpoints_are_urls_or_host_and_port() {
        let at = |host: &str, port| Authority { host: Host::parse(host).unwrap(), port };
        assert_eq!(endpoint("https://api.ipify.org?format=json"), Ok(at("api.ipify.org", 443)));
        assert_eq!(endpoint("http://Example.com/ip"), Ok(at("example.com", 80)));
        assert_eq!(endpoint("http://example.com:8080/ip"), Ok(at("example.com", 8080)));
        assert_eq!(endpoint("echo.mock:7"), Ok(at("echo.mock", 7)));
        assert_eq!(endpoint("[::1]:7"), Ok(at("[::1]", 7)));
        for bad in ["example.com", "", "https://u:p@h/", "ftp://h:21", "https://h:99999"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
