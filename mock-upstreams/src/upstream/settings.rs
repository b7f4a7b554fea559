//! Holds the settings of one upstream: whom it serves, and how fast.

use std::fmt;
use std::time::Duration;

use hyper::Request;
use subtle::ConstantTimeEq;

use crate::request::credentials;

/// The credentials that an upstream asks for. Debug output hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// The user name of `Proxy-Authorization: Basic`.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Auth {
    /// Parses `user:password`. `None` where the colon or the user is missing.
    pub fn parse(pair: &str) -> Option<Self> {
        let (user, password) = pair.split_once(':').filter(|(user, _)| !user.is_empty())?;
        Some(Auth { user: user.to_owned(), password: password.to_owned() })
    }

    pub(super) fn admits<B>(&self, request: &Request<B>) -> bool {
        credentials(request.headers()).is_some_and(|(user, password)| {
            let user = user.as_bytes().ct_eq(self.user.as_bytes());
            bool::from(user & password.as_bytes().ct_eq(self.password.as_bytes()))
        })
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.user)
    }
}

/// How an upstream behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The credentials that it asks for. Without any it serves everybody.
    pub auth: Option<Auth>,
    /// The time that it takes before it answers a request.
    pub latency: Duration,
    /// How long a connection may say nothing before its first request; then it is ended in order. `None`: for ever.
    pub idle_timeout: Option<Duration>,
}
