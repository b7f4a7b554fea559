//! Holds the name and password of a user of the proxy.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Name and password of a user of the proxy. Neither `Debug` nor anything else shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    name: String,
    basic: String,
}

/// Reads `name:password`.
impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, _) = text.split_once(':').ok_or("a user is written NAME:PASSWORD")?;
        if text.contains(['\r', '\n']) {
            return Err(format!("user `{}` has a line's end in it", name.escape_debug()));
        }
        Ok(User { name: name.to_owned(), basic: STANDARD.encode(text) })
    }
}

impl User {
    /// The name, without the password.
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
