//! Holds a login that stays with a connection: NTLM and Negotiate prove who asks to a connection, and not in each request.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Who a client says to the target that it is, by a scheme that proves it to the connection. It goes out in one step, as Kerberos does
/// within Negotiate: what a real server would ask for in between needs a connection to it that is the client's alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    scheme: LoginScheme,
    name: String,
}

/// A scheme whose login stays with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LoginScheme {
    Negotiate,
    Ntlm,
}

impl Login {
    /// Who it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of Authorization. Its token is the name, which the doubles take at its word.
    pub(crate) fn authorization(&self) -> String {
        let scheme = match self.scheme {
            LoginScheme::Negotiate => "Negotiate",
            LoginScheme::Ntlm => "NTLM",
        };
        format!("{scheme} {}", STANDARD.encode(&self.name))
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            LoginScheme::Negotiate => "negotiate",
            LoginScheme::Ntlm => "ntlm",
        };
        write!(f, "{scheme}/{}", self.name)
    }
}

/// Reads `SCHEME/NAME`.
impl FromStr for Login {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("login=`{text}`: expected negotiate/NAME or ntlm/NAME, with letters and digits in the name");
        let (scheme, name) = text.split_once('/').ok_or_else(wrong)?;
        let scheme = match scheme {
            "negotiate" => LoginScheme::Negotiate,
            "ntlm" => LoginScheme::Ntlm,
            _ => return Err(wrong()),
        };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(wrong());
        }
        Ok(Login { scheme, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::Login;

    #[test]
    fn the_token_is_the_name() {
        let said = |text: &str| text.parse::<Login>().unwrap().authorization();
        assert_eq!(said("negotiate/ann"), "Negotiate YW5u");
        assert_eq!(said("ntlm/ann"), "NTLM YW5u");
    }
}
