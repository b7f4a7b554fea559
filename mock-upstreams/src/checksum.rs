//! The checksum of the journal: CRC-32, as in gzip and Ethernet.
//!
//! It is there to notice lost, doubled, reordered or altered bytes, not to resist anyone who wants it to collide. Every
//! language has it at hand, so every witness can compute it for itself, and it costs next to nothing.

use std::fmt;

/// CRC-32 of the bytes seen so far. Prints as 8 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(u32);

impl Checksum {
    /// Of no bytes.
    pub const EMPTY: Checksum = Checksum(0);

    /// Of all of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Checksum::EMPTY;
        sum.update(bytes);
        sum
    }

    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        self.0 = hasher.finalize();
    }

    /// The number itself.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
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
    fn agrees_with_the_published_check_value_however_the_bytes_are_cut() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(Checksum::of(b"123456789").to_string(), "cbf43926");
        let mut sum = Checksum::of(b"1234");
        sum.update(b"");
        sum.update(b"56789");
        assert_eq!(sum, Checksum::of(b"123456789"));
    }
}
