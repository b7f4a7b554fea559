//! What a fault does to the bytes of a tunnel, as plain data.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use bytes::BytesMut;

use crate::draw::Draw;

/// Everything that is done to one tunnel.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// From the client to the target.
    pub up: Flow,
    /// From the target to the client.
    pub down: Flow,
    /// How the tunnel is over after a time, should it last that long.
    pub end: Option<(Duration, Over)>,
}

impl Effects {
    /// The flows that `way` names: `down`, `up` or `both`.
    pub fn flows(&mut self, way: &str) -> impl Iterator<Item = &mut Flow> {
        let (up, down) = (way != "down", way != "up");
        up.then_some(&mut self.up).into_iter().chain(down.then_some(&mut self.down))
    }

    /// Whether they end the tunnel by a reset.
    pub(crate) fn reset(&self) -> bool {
        let by_bytes = [&self.up, &self.down]
            .into_iter()
            .filter_map(|flow| flow.stop)
            .any(|(_, stop)| stop == Stop::Over(Over::Reset));
        by_bytes || self.end.is_some_and(|(_, over)| over == Over::Reset)
    }
}

/// What is done to the bytes of one way.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// Every byte comes that much later.
    pub delay: Duration,
    /// And at most so much later still, by the draw; order is kept.
    pub jitter: Option<(Duration, Draw)>,
    /// Bytes a second.
    pub rate: Option<NonZeroU64>,
    /// Bytes of one write.
    pub slice: Option<NonZeroUsize>,
    /// Time between two such writes.
    pub gap: Duration,
    /// Bits that are flipped.
    pub flips: Option<Flips>,
    /// A block that comes twice.
    pub again: Option<Again>,
    /// What happens after so many bytes.
    pub stop: Option<(u64, Stop)>,
    /// The end is passed on that much later.
    pub late_end: Duration,
}

/// What happens to a way after so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nothing more, and nothing more is read; over after that time.
    Stall(Duration),
    /// It ends in order; what still comes is swallowed, and the other way goes on.
    HalfClose,
    /// The whole tunnel is over.
    Over(Over),
}

/// How a fault ends a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// In order: FIN.
    Cut,
    /// RST.
    Reset,
    /// Closed without a word.
    Closed,
}

/// Flips one bit every so often. Where does not depend on how the bytes are cut.
#[derive(Clone, Debug)]
pub struct Flips {
    /// Twice the mean distance, at least 1.
    most: u64,
    draw: Draw,
    /// Bytes until the next.
    next: u64,
}

impl Flips {
    /// One in `every` bytes on average.
    pub fn new(every: u64, mut draw: Draw) -> Self {
        let most = every.saturating_sub(1) * 2;
        let next = draw.up_to(most);
        Flips { most, draw, next }
    }

    pub(crate) fn apply(&mut self, bytes: &mut [u8]) {
        let mut at = 0_u64;
        while let Some(byte) = usize::try_from(at + self.next).ok().and_then(|index| bytes.get_mut(index)) {
            *byte ^= 1 << self.draw.up_to(7);
            at += self.next + 1;
            self.next = self.draw.up_to(self.most);
        }
        self.next -= bytes.len() as u64 - at;
    }
}

/// Sends one block twice.
#[derive(Clone, Debug)]
pub struct Again {
    /// Bytes until it begins.
    skip: u64,
    /// Bytes of it that have not come yet.
    missing: u64,
    block: BytesMut,
}

impl Again {
    /// The block of `length` bytes that begins behind the first `at`.
    pub fn new(at: u64, length: u64) -> Self {
        Again { skip: at, missing: length, block: BytesMut::new() }
    }

    /// `bytes` with the block's copy in its place, once it is complete.
    pub(crate) fn apply(&mut self, bytes: BytesMut) -> BytesMut {
        let begin = self.skip.min(bytes.len() as u64);
        self.skip -= begin;
        let length = self.missing.min(bytes.len() as u64 - begin);
        if length == 0 {
            return bytes;
        }
        let (begin, end) = (begin as usize, (begin + length) as usize);
        self.missing -= length;
        self.block.extend_from_slice(&bytes[begin..end]);
        if self.missing > 0 {
            return bytes;
        }
        let mut doubled = BytesMut::from(&bytes[..end]);
        doubled.extend_from_slice(&self.block.split());
        doubled.extend_from_slice(&bytes[end..]);
        doubled
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(bytes: &[u8], cuts: &[usize]) -> Vec<BytesMut> {
        let mut rest = BytesMut::from(bytes);
        let mut pieces: Vec<_> = cuts.iter().map(|cut| rest.split_to((*cut).min(rest.len()))).collect();
        pieces.push(rest);
        pieces
    }

    proptest! {
        #[test]
        fn flips_are_where_the_draw_says_however_the_bytes_are_cut(
            every in 1_u64..50,
            cuts in prop::collection::vec(0_usize..100, 0..20),
        ) {
            let flips = Flips::new(every, Draw::new(1, "a", "x", 1, 1));
            let run = |cuts: &[usize]| {
                let mut flips = flips.clone();
                let mut all = Vec::new();
                for mut piece in pieces(&[0; 500], cuts) {
                    flips.apply(&mut piece);
                    all.extend_from_slice(&piece);
                }
                all
            };
            let whole = run(&[]);
            let flipped: u32 = whole.iter().map(|byte| byte.count_ones()).sum();
            prop_assert!(flipped > 0);
            prop_assert!(whole.iter().all(|byte| byte.count_ones() <= 1));
            prop_assert_eq!(whole, run(&cuts));
        }

        #[test]
        fn a_block_comes_twice_however_the_bytes_are_cut(
            at in 0_u64..300,
            length in 1_u64..300,
            cuts in prop::collection::vec(0_usize..100, 0..20),
        ) {
            let bytes: Vec<u8> = (0..=255).cycle().take(600).collect();
            let mut again = Again::new(at, length);
            let mut all = Vec::new();
            for piece in pieces(&bytes, &cuts) {
                all.extend_from_slice(&again.apply(piece));
            }
            let (begin, end) = (at as usize, (at + length) as usize);
            let expected = [&bytes[..end], &bytes[begin..end], &bytes[end..]].concat();
            prop_assert_eq!(all, expected);
        }
    }
}
