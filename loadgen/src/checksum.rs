//! What is said of bytes that went one way: how many, and FNV-1a (64 bits) over them, as the upstreams' journals do.

use std::fmt;

/// Bytes that went one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub bytes: u64,
    /// FNV-1a with 64 bits over all of them in order.
    pub checksum: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Sum { bytes: 0, checksum: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Sum {
    /// Counts `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for byte in bytes {
            self.checksum = (self.checksum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// `<bytes> <checksum>`, as `sink.mock` answers.
impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:016x}", self.bytes, self.checksum)
    }
}

/// Byte `at` of the targets that send a known pattern: `at` modulo 251.
pub const fn pattern(at: u64) -> u8 {
    (at % 251) as u8
}

/// Fills `block` with bytes that belong to `seed` alone, so that bytes of another tunnel are noticed.
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
        // From the test suite of the FNV authors.
        for (text, sum) in [("", "0 cbf29ce484222325"), ("a", "1 af63dc4c8601ec8c"), ("foobar", "6 85944171f73967e8")] {
            let mut of = Sum::default();
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
