//! Describes what faults do to the bytes of a tunnel, as plain data.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use bytes::BytesMut;

use crate::draw::Draw;

/// Everything that faults do to one tunnel.
#[derive(Clone, Debug, Default)]
pub(crate) struct TunnelEffects {
    /// What is done to the bytes from the client to the target.
    pub(crate) up: DirectionEffects,
    /// What is done to the bytes from the target to the client.
    pub(crate) down: DirectionEffects,
    /// After how long the tunnel is ended, and how.
    pub(crate) end: Option<(Duration, TunnelEnd)>,
}

impl TunnelEffects {
    /// The directions that the setting `way` names: `down`, `up` or `both`.
    pub(crate) fn directions(&mut self, way: &str) -> impl Iterator<Item = &mut DirectionEffects> {
        let (up, down) = (way != "down", way != "up");
        up.then_some(&mut self.up).into_iter().chain(down.then_some(&mut self.down))
    }

    /// Whether they end the tunnel by a reset.
    pub(crate) fn reset(&self) -> bool {
        let by_bytes = [&self.up, &self.down]
            .into_iter()
            .filter_map(|direction| direction.cutoff)
            .any(|(_, cutoff)| cutoff == Cutoff::Tunnel(TunnelEnd::Reset));
        by_bytes || self.end.is_some_and(|(_, end)| end == TunnelEnd::Reset)
    }
}

/// What is done to the bytes that go in one direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct DirectionEffects {
    /// How much later every byte comes.
    pub(crate) delay: Duration,
    /// How much later a byte may come in addition, by the draw. The order is kept.
    pub(crate) jitter: Option<(Duration, Draw)>,
    /// The most bytes per second.
    pub(crate) rate: Option<NonZeroU64>,
    /// The most bytes of one write.
    pub(crate) slice: Option<NonZeroUsize>,
    /// The time between two such writes.
    pub(crate) gap: Duration,
    /// Which bits are flipped.
    pub(crate) flips: Option<BitFlips>,
    /// Which block comes twice.
    pub(crate) repeated: Option<RepeatedBlock>,
    /// After how many bytes the direction is cut off, and how.
    pub(crate) cutoff: Option<(u64, Cutoff)>,
    /// How much later the end is passed on.
    pub(crate) late_end: Duration,
}

/// How a direction is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cutoff {
    /// Nothing more is read or written. The tunnel is closed after that time.
    Stall(Duration),
    /// The direction ends in order. Bytes that still come are discarded, and the other direction goes on.
    HalfClose,
    /// The whole tunnel ends.
    Tunnel(TunnelEnd),
}

/// How a fault ends a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// In order, by a FIN.
    Fin,
    /// By a reset.
    Reset,
    /// By closing the stream at once, whatever was not read.
    Close,
}

/// Flips single bits. Which ones depends on the draw alone, not on how the bytes are cut into pieces.
#[derive(Clone, Debug)]
pub(crate) struct BitFlips {
    /// The largest distance between two flips.
    max_distance: u64,
    draw: Draw,
    /// Bytes until the next flip.
    next: u64,
}

impl BitFlips {
    /// Flips a bit in one of `every` bytes on average.
    pub(crate) fn new(every: u64, mut draw: Draw) -> Self {
        let max_distance = every.saturating_sub(1) * 2;
        let next = draw.up_to(max_distance);
        BitFlips { max_distance, draw, next }
    }

    /// Flips bits of the next bytes.
    pub(crate) fn apply(&mut self, bytes: &mut [u8]) {
        let mut at = 0_u64;
        while let Some(byte) = usize::try_from(at + self.next).ok().and_then(|index| bytes.get_mut(index)) {
            *byte ^= 1 << self.draw.up_to(7);
            at += self.next + 1;
            self.next = self.draw.up_to(self.max_distance);
        }
        self.next -= bytes.len() as u64 - at;
    }
}

/// Sends one block twice.
#[derive(Clone, Debug)]
pub(crate) struct RepeatedBlock {
    /// Bytes until the block begins.
    skip: u64,
    /// Bytes of the block that have not come yet.
    missing: u64,
    block: BytesMut,
}

impl RepeatedBlock {
    /// Repeats the block of `length` bytes that begins behind the first `at` bytes.
    pub(crate) fn new(at: u64, length: u64) -> Self {
        RepeatedBlock { skip: at, missing: length, block: BytesMut::new() }
    }

    /// Returns the next bytes, with the copy of the block behind it once the block is complete.
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
            let flips = BitFlips::new(every, Draw::new(1, "a", "x", 1, 1));
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
            let mut repeated = RepeatedBlock::new(at, length);
            let mut all = Vec::new();
            for piece in pieces(&bytes, &cuts) {
                all.extend_from_slice(&repeated.apply(piece));
            }
            let (begin, end) = (at as usize, (at + length) as usize);
            let expected = [&bytes[..end], &bytes[begin..end], &bytes[end..]].concat();
            prop_assert_eq!(all, expected);
        }
    }
}
