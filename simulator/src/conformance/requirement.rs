//! A requirement has a section, a level, a sentence and a check.

use super::bench::Bench;
use crate::subject::Feature;

/// Something that an RFC demands of a proxy.
pub struct Requirement {
    /// The number of the RFC and the section, as `9110-7.6.1`.
    pub section: &'static str,
    /// How much it is demanded.
    pub level: Level,
    /// What is demanded, in a sentence.
    pub text: &'static str,
    /// The test of netdrift's own that holds it.
    pub held_by: &'static str,
    /// A feature without which it can't be checked.
    pub(super) needs: Option<Feature>,
    /// The check. It returns what was seen otherwise than demanded.
    pub(super) check: fn(&Bench) -> Result<(), String>,
}

/// How much something is demanded (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// MUST, and MUST NOT.
    Must,
    /// SHOULD, and SHOULD NOT.
    Should,
    /// MAY.
    May,
}

impl Level {
    /// The word of RFC 2119.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Must => "MUST",
            Level::Should => "SHOULD",
            Level::May => "MAY",
        }
    }

    /// Whether what is broken counts: what MUST be always, what SHOULD be where it is `strict`, and what MAY be never.
    pub const fn counts(self, strict: bool) -> bool {
        match self {
            Level::Must => true,
            Level::Should => strict,
            Level::May => false,
        }
    }
}
