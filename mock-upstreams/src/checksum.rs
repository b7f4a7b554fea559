//! The checksum of the journal: FNV-1a with 64 bits.
//!
//! It is there to notice lost, doubled, reordered or altered bytes, not to resist anyone who wants it to collide. It is
//! so short that every witness can write it down for itself.

use std::fmt;

/// FNV-1a (64 bits) over the bytes seen so far. Prints as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(u64);

impl Checksum {
    /// Of no bytes.
    pub const EMPTY: Checksum = Checksum(0xcbf2_9ce4_8422_2325);

    /// Of all of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Checksum::EMPTY;
        sum.update(bytes);
        sum
    }

    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The number itself.
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl serde::Serialize for Checksum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Bytes that went one way: how many, and their checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// How many.
    pub bytes: u64,
    /// Of all of them in order.
    pub checksum: Checksum,
}

impl Tally {
    /// None yet.
    pub const EMPTY: Tally = Tally { bytes: 0, checksum: Checksum::EMPTY };

    /// All of `bytes` and nothing else.
    pub fn of(bytes: &[u8]) -> Self {
        let mut tally = Tally::EMPTY;
        tally.add(bytes);
        tally
    }

    /// Counts `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.checksum.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_vectors() {
        // From the test suite of the FNV authors.
        for (text, sum) in [("", "cbf29ce484222325"), ("a", "af63dc4c8601ec8c"), ("foobar", "85944171f73967e8")] {
            assert_eq!(Checksum::of(text.as_bytes()).to_string(), sum);
        }
    }
}
