//! Represents what picking knows of an upstream (its id and its weight), and one attempt through it.

use std::fmt;

use super::time::Timestamp;

/// Names one upstream for as long as the process lives; a reload keeps it, and it is never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(u32);

impl UpstreamId {
    /// The upstream numbered `number`.
    pub const fn new(number: u32) -> Self {
        UpstreamId(number)
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for UpstreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "u{}", self.0)
    }
}

/// An upstream's share of first picks, relative to the others'. Zero takes none (maintenance).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

impl Weight {
    /// No traffic.
    pub const ZERO: Weight = Weight(0);
    /// One share.
    pub const ONE: Weight = Weight(1);
    /// The largest weight, 10,000.
    pub const MAX: Weight = Weight(10_000);

    /// `weight`, or `None` above [`Weight::MAX`].
    pub fn new(weight: u32) -> Option<Self> {
        u16::try_from(weight).ok().map(Weight).filter(|weight| *weight <= Weight::MAX)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// Takes no traffic.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// One upstream as the balancer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: UpstreamId,
    /// Its share; zero for a disabled upstream as well.
    pub weight: Weight,
}

/// One attempt through one upstream. Its start is kept, so that a late result is not taken for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Through whom.
    pub upstream: UpstreamId,
    /// When it was picked.
    pub started: Timestamp,
    /// It was handed out as a probe; its end, whatever it is, gives the probe back.
    pub probe: bool,
}
