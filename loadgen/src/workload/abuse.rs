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
    /// It begins a head and ends its side. It has to get a 400.
    CutHead,
    /// It sends field after field, and no end of the head. It has to get a 431.
    LongHead,
    /// It sends what is no HTTP. It has to get a 400.
    Garbage,
    /// It announces a body, sends a part of it and stops. It has to get a 408.
    HalfBody,
    /// It announces a body, sends a part of it and ends its side. It has to get a 400.
    CutBody,
    /// It asks for a page, reads it, and asks for nothing more. Its connection has to be ended without a further word.
    Lingering,
}

impl Abuse {
    /// All of them.
    pub const ALL: [Abuse; 8] = [
        Abuse::Silence,
        Abuse::HalfHead,
        Abuse::CutHead,
        Abuse::LongHead,
        Abuse::Garbage,
        Abuse::HalfBody,
        Abuse::CutBody,
        Abuse::Lingering,
    ];

    /// Whether its request is one that the proxy sends on.
    pub fn reaches_upstreams(self) -> bool {
        matches!(self, Abuse::HalfBody | Abuse::CutBody | Abuse::Lingering)
    }

    /// The status that it has to be answered with; none: nothing may be said.
    pub fn status(self) -> Option<u16> {
        match self {
            Abuse::Silence => None,
            Abuse::Lingering => Some(200),
            Abuse::HalfHead | Abuse::HalfBody => Some(408),
            Abuse::LongHead => Some(431),
            Abuse::CutHead | Abuse::Garbage | Abuse::CutBody => Some(400),
        }
    }
}

impl fmt::Display for Abuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Abuse::Silence => "silence",
            Abuse::HalfHead => "half-head",
            Abuse::CutHead => "cut-head",
            Abuse::LongHead => "long-head",
            Abuse::Garbage => "garbage",
            Abuse::HalfBody => "half-body",
            Abuse::CutBody => "cut-body",
            Abuse::Lingering => "lingering",
        })
    }
}

impl FromStr for Abuse {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Abuse::ALL.into_iter().find(|one| one.to_string() == text);
        let expected = "silence, half-head, cut-head, long-head, garbage, half-body, cut-body or lingering";
        found.ok_or_else(|| format!("by=`{text}`: expected {expected}"))
    }
}
