//! Counts the bytes that went one way and their CRC-32, as upstreams' journals do, and makes known patterns.

use std::fmt;

use serde::{Serialize, Serializer};

/// The bytes that went one way: their number and their checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Transferred {
    /// Their number.
    pub bytes: u64,
    /// CRC-32 over all of them in order.
    #[serde(serialize_with = "hex")]
    pub checksum: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn hex<S: Serializer>(checksum: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{checksum:08x}"))
}

impl Transferred {
    /// Counts `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let mut hasher = crc32fast::Hasher::new_with_initial(self.checksum);
        hasher.update(bytes);
        self.checksum = hasher.finalize();
    }
}

/// `<bytes> <checksum>`, as `sink.mock` answers.
impl fmt::Display for Transferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:08x}", self.bytes, self.checksum)
    }
}

/// The byte at offset `at` of the pattern that some targets send: `at` modulo 251.
pub const fn pattern(at: u64) -> u8 {
    (at % 251) as u8
}

/// Fills `block` with bytes that no other seed gives, so that bytes of another tunnel are noticed.
pub fn fill(seed: u64, block: &mut [u8]) {
    // SplitMix64 (Steele, Lea, Flood 2014): eight bytes a step.
    let mut state = seed;
    for chunk in block.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_vectors() {
        // The check value of CRC-32 is that of "123456789".
        for (text, sum) in [("", "0 00000000"), ("123456789", "9 cbf43926"), ("foobar", "6 9ef61f95")] {
            let mut of = Transferred::default();
            of.add(text.as_bytes());
            assert_eq!(of.to_string(), sum);
        }
    }

    #[test]
    fn blocks_of_different_seeds_differ() {
        let block = |seed| {
            let mut block = [0; 13];
            fill(seed, &mut block);
            block
        };
        assert_ne!(block(1), block(2));
        assert_eq!(block(1), block(1));
    }
}
