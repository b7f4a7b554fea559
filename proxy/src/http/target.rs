//! Reads where a client wants to go (RFC 9112 section 3.2).

use std::net::SocketAddr;

use thiserror::Error;

pub use crate::http::authority::{Authority, AuthorityError, Host};
use crate::http::head::RequestHead;

/// Where a request is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A tunnel to this host and port.
    Connect(Authority),
    /// A plain-HTTP request that we pass on. The target says where to, so the client's Host is replaced by
    /// [`Authority::in_http`].
    Forward {
        /// The host and port of the resource.
        authority: Authority,
        /// The request target for an upstream, in absolute-form.
        absolute: String,
    },
    /// A request to us: a path, with its query.
    Origin(String),
    /// A request to us: `OPTIONS *`.
    Asterisk,
}

/// Why a request target can't be served. Each is the client's fault and is answered with 400. It never repeats the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// The host and port are malformed.
    #[error("bad request target: {0}")]
    Authority(#[from] AuthorityError),
    /// The target is `https://…` in absolute-form.
    #[error("https is reached through CONNECT, not by a https:// request target")]
    Https,
    /// The target has another scheme in absolute-form.
    #[error("only http:// request targets are served here")]
    Scheme,
    /// The target has a `#`.
    #[error("a request target has no fragment")]
    Fragment,
    /// The target has none of the four forms.
    #[error("malformed request target")]
    Form,
}

impl TargetError {
    /// The status with which the client is answered.
    pub fn status(self) -> u16 {
        400
    }

    /// The word for logs and metric labels.
    pub fn token(self) -> &'static str {
        match self {
            TargetError::Authority(_) => "bad_target_authority",
            TargetError::Https => "https_without_connect",
            TargetError::Scheme => "bad_target_scheme",
            TargetError::Fragment => "target_fragment",
            TargetError::Form => "bad_target",
        }
    }
}

/// Reads the request target of `head`.
///
/// # Errors
/// What is wrong with it.
pub fn route(head: &RequestHead) -> Result<Route, TargetError> {
    let target = head.target.as_str();
    if head.method.is_connect() {
        return Ok(Route::Connect(Authority::parse(target, None)?));
    }
    if target.bytes().any(|byte| byte == b'#') {
        return Err(TargetError::Fragment);
    }
    if target.starts_with('/') {
        return Ok(Route::Origin(target.to_owned()));
    }
    let options = head.method == *"OPTIONS";
    if options && target == "*" {
        return Ok(Route::Asterisk);
    }
    let (scheme, rest) = split_scheme(target).ok_or(TargetError::Form)?;
    if scheme.eq_ignore_ascii_case("https") {
        return Err(TargetError::Https);
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(TargetError::Scheme);
    }
    let (authority, path) =
        rest.split_at(rest.bytes().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len()));
    let authority = Authority::parse(authority, Some(80))?;
    // One piece of memory takes all of it.
    let mut absolute = String::with_capacity(target.len() + 16);
    absolute.push_str("http://");
    authority.push_in_http(&mut absolute);
    // The last proxy turns an empty path into `*`, so the path must stay empty until then (RFC 9112 section 3.2.4).
    if !(path.starts_with('/') || path.is_empty() && options) {
        absolute.push('/');
    }
    absolute.push_str(path);
    Ok(Route::Forward { authority, absolute })
}

/// What stands before and behind the first `://`. To set up a search for a text takes longer than to find this one.
fn split_scheme(target: &str) -> Option<(&str, &str)> {
    let at = target.as_bytes().windows(3).position(|three| three == b"://")?;
    Some((target.get(..at)?, target.get(at + 3..)?))
}

/// Whether `authority` is one of our listen addresses, as far as that can be told without resolving names. It is, if its port
/// is ours and its host is one of our addresses, any loopback address while we listen on all addresses, the unspecified
/// address, `localhost`, or a name under `localhost`.
///
/// We would answer such a request as if it came from this machine.
pub fn is_ourselves(authority: &Authority, listen: impl IntoIterator<Item = SocketAddr>) -> bool {
    let is_at = |ours: SocketAddr| match &authority.host {
        Host::Name(name) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        host => host.ip().is_some_and(|ip| {
            let bound = ours.ip().to_canonical();
            ip == bound || ip.is_unspecified() || (bound.is_unspecified() && ip.is_loopback())
        }),
    };
    listen.into_iter().any(|ours| ours.port() == authority.port && is_at(ours))
}

#[cfg(test)]
mod tests;
