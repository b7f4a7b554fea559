//! Describes an action and its share of a mix.

use std::fmt;
use std::str::FromStr;

use super::action::Action;

/// An action with its share of a mix: how often it is done, against the shares of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionShare {
    /// How often, against the others.
    pub share: u32,
    /// What is done.
    pub action: Action,
}

/// Writes `SHARE*ACTION`, which reads back as the same.
impl fmt::Display for ActionShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*{}", self.share, self.action)
    }
}

/// Reads `SHARE*ACTION`, as in `3*echo:bytes=1k`; an action without a share has 1.
impl FromStr for ActionShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (share, action) = match text.split_once('*') {
            Some((share, action)) => {
                (share.parse().map_err(|_| format!("`{text}`: the share before * is no number"))?, action)
            }
            None => (1, text),
        };
        Ok(ActionShare { share, action: action.parse()? })
    }
}
