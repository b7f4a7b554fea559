//! Computes the checksums of the journal: CRC-32, as in gzip and Ethernet.
//!
//! It shows that bytes were lost, doubled, reordered or altered; it does not resist an attacker. Every language has it at
//! hand, so each witness can compute it for itself.

use std::fmt;

/// The CRC-32 of some bytes. It prints as 8 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(u32);

impl Checksum {
    /// The checksum of no bytes.
    pub const EMPTY: Checksum = Checksum(0);

    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Checksum::EMPTY;
        sum.update(bytes);
        sum
    }

    /// Continues the checksum with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        self.0 = hasher.finalize();
    }

    /// The checksum as a number.
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

/// The number of bytes that went one way, and their checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Transferred {
    /// The number of bytes.
    pub bytes: u64,
    /// The checksum of all of them in order.
    pub checksum: Checksum,
}

impl Transferred {
    /// No bytes.
    pub const EMPTY: Transferred = Transferred { bytes: 0, checksum: Checksum::EMPTY };

    /// Sums up `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut transferred = Transferred::EMPTY;
        transferred.add(bytes);
        transferred
    }

    /// Adds `bytes`.
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
