//! Reads what a client asks an upstream for from a request head.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap, PROXY_AUTHORIZATION, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::{Method, Request};

/// Where a client wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A host name in lower case, or an IP address without brackets.
    pub host: String,
    /// The port; 80 where the request named none.
    pub port: u16,
}

impl Target {
    /// Reads the authority of a request target.
    fn from_authority(authority: &hyper::http::uri::Authority) -> Self {
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Target { host: host.to_ascii_lowercase(), port: authority.port_u16().unwrap_or(80) }
    }

    /// The request id that the name carries: the left-most label of a name with more than two labels. So the id of
    /// `r8f3.echo.mock` is `r8f3`; `echo.mock` and `127.0.0.1` carry none.
    pub fn id(&self) -> Option<&str> {
        if self.host.parse::<std::net::IpAddr>().is_ok() {
            return None;
        }
        let (first, rest) = self.host.split_once('.')?;
        rest.contains('.').then_some(first)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The form of a request target (RFC 9112 section 3.2), as far as proxies get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `CONNECT host:port`: open a tunnel.
    Connect,
    /// `GET http://host/path`: forward this request.
    Absolute,
}

/// One request to a proxy, as the upstream sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRequest {
    /// The number of its connection on this upstream, from 1.
    pub connection: u64,
    /// Its own number on that connection, from 1.
    pub request: u64,
    /// Whether a tunnel or a forwarded request is asked for.
    pub form: Form,
    /// The method, as sent.
    pub method: String,
    /// Where the client wants to go.
    pub target: Target,
    /// The user of its `Proxy-Authorization`, whether or not the password is right.
    pub user: Option<String>,
    /// Whom its target takes the client for: who has logged in by NTLM or Negotiate, with it or with an earlier request on the connection.
    pub served_as: Option<String>,
    /// Whether the upstream serves it: it has the right credentials, or the upstream asks for none.
    pub admitted: bool,
    /// The value of `Sec-WebSocket-Key`, where the request opens a WebSocket.
    pub websocket_key: Option<String>,
}

impl ProxyRequest {
    /// Reads a request head. `None` for origin-form, for asterisk-form, and for a CONNECT without authority.
    pub(crate) fn read<B>(request: &Request<B>, connection: u64, number: u64, admitted: bool) -> Option<Self> {
        let authority = request.uri().authority()?;
        let form = if request.method() == Method::CONNECT { Form::Connect } else { Form::Absolute };
        Some(ProxyRequest {
            connection,
            request: number,
            form,
            method: request.method().to_string(),
            target: Target::from_authority(authority),
            user: credentials(request.headers()).map(|(user, _)| user),
            // Whoever is refused here gets to no target, and a tunnel is a connection of its own.
            served_as: (admitted && form == Form::Absolute).then(|| login(request.headers())).flatten(),
            admitted,
            websocket_key: websocket_key(request.headers()),
        })
    }
}

/// The key of a request that opens a WebSocket (RFC 6455 section 4.2.1).
pub(crate) fn websocket_key(headers: &HeaderMap) -> Option<String> {
    let upgrade = headers.get(UPGRADE)?.to_str().ok()?;
    let key = headers.get(SEC_WEBSOCKET_KEY)?.to_str().ok()?;
    upgrade.eq_ignore_ascii_case("websocket").then(|| key.to_owned())
}

/// Who logs in to the target by NTLM or Negotiate. The token is taken for the name, in one step.
pub(crate) fn login(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let stays = ["ntlm", "negotiate"].iter().any(|one| scheme.eq_ignore_ascii_case(one));
    if !stays {
        return None;
    }
    String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()
}

/// The user and the password of a Basic `Proxy-Authorization`.
pub(crate) fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, token) = headers.get(PROXY_AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str) -> Target {
        Target { host: host.to_owned(), port: 80 }
    }

    #[test]
    fn the_id_is_the_left_most_label_in_front_of_a_name() {
        assert_eq!(target("r8f3.echo.mock").id(), Some("r8f3"));
        assert_eq!(target("r8f3.n10.source.mock").id(), Some("r8f3"));
        for without in ["echo.mock", "localhost", "127.0.0.1", "::1"] {
            assert_eq!(target(without).id(), None, "{without}");
        }
    }

    #[test]
    fn an_ipv6_target_is_printed_in_brackets() {
        assert_eq!(Target { host: "::1".to_owned(), port: 443 }.to_string(), "[::1]:443");
    }
}
