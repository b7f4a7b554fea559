//! Name and password for the proxy.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Name and password for the proxy. Neither `Debug` nor anything else shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    name: String,
    basic: String,
}

impl User {
    /// From `name:password`.
    ///
    /// # Errors
    /// There is no colon, or a line's end is in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, _) = text.split_once(':').ok_or("a user is written NAME:PASSWORD")?;
        if text.contains(['\r', '\n']) {
            return Err(format!("user `{}` has a line's end in it", name.escape_debug()));
        }
        Ok(User { name: name.to_owned(), basic: STANDARD.encode(text) })
    }

    /// Who.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The token of `Proxy-Authorization: Basic` (RFC 7617).
    pub fn basic(&self) -> &str {
        &self.basic
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({}:***)", self.name)
    }
}
