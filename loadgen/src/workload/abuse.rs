//! What no good client does, and how it has to be turned away.

use std::fmt;
use std::str::FromStr;

/// What no good client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abuse {
    /// It connects and says nothing. Its connection has to be ended without a word.
    Silence,
    /// It begins a head and stops. It has to get a 408.
    HalfHead,
    /// It sends field after field, and no end of the head. It has to get a 431.
    LongHead,
    /// It sends what is no HTTP. It has to get a 400.
    Garbage,
}

impl Abuse {
    /// All of them.
    pub const ALL: [Abuse; 4] = [Abuse::Silence, Abuse::HalfHead, Abuse::LongHead, Abuse::Garbage];

    /// The status that it has to be answered with; none: nothing may be said.
    pub fn status(self) -> Option<u16> {
        match self {
            Abuse::Silence => None,
            Abuse::HalfHead => Some(408),
            Abuse::LongHead => Some(431),
            Abuse::Garbage => Some(400),
        }
    }
}

impl fmt::Display for Abuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Abuse::Silence => "silence",
            Abuse::HalfHead => "half-head",
            Abuse::LongHead => "long-head",
            Abuse::Garbage => "garbage",
        })
    }
}

impl FromStr for Abuse {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Abuse::ALL.into_iter().find(|one| one.to_string() == text);
        found.ok_or_else(|| format!("by=`{text}`: expected silence, half-head, long-head or garbage"))
    }
}
