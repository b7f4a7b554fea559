//! Makes the pattern that `source.mock` sends: byte `i` is `i` modulo 251.
//!
//! No usual block size is a multiple of the prime 251, so a block that is lost or doubled shows.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};

use crate::checksum::Transferred;

const PERIOD: usize = 251;
const CHUNK: usize = 16 * 1024;

/// A chunk from any offset is a piece of this, so sending costs no computing.
static PATTERN: [u8; PERIOD + CHUNK] = {
    let mut bytes = [0; PERIOD + CHUNK];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at % PERIOD) as u8;
        at += 1;
    }
    bytes
};

/// Returns `length` bytes of the pattern, from `offset` on.
pub fn pattern(offset: u64, length: usize) -> Bytes {
    (0..length as u64).map(|at| ((offset + at) % PERIOD as u64) as u8).collect()
}

/// The length and checksum of the first `bytes` bytes of the pattern, as a journal has them.
pub fn transferred_of_pattern(bytes: u64) -> Transferred {
    let mut transferred = Transferred::EMPTY;
    for chunk in Chunks::new(bytes) {
        transferred.add(&chunk);
    }
    transferred
}

/// The pattern cut into chunks.
pub(super) struct Chunks {
    offset: u64,
    end: u64,
}

impl Chunks {
    pub(super) fn new(bytes: u64) -> Self {
        Chunks { offset: 0, end: bytes }
    }
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let length = (CHUNK as u64).min(self.end - self.offset) as usize;
        if length == 0 {
            return None;
        }
        let begin = (self.offset % PERIOD as u64) as usize;
        self.offset += length as u64;
        Some(Bytes::from_static(&PATTERN[begin..begin + length]))
    }
}

/// The pattern as a response body.
pub(super) struct PatternBody {
    pub(super) chunks: Chunks,
    /// Whether the length is known beforehand: Content-Length instead of chunks.
    pub(super) sized: bool,
    /// Trailers to send behind the last chunk.
    pub(super) trailers: Option<HeaderMap>,
}

impl PatternBody {
    pub(super) fn new(bytes: u64) -> Self {
        PatternBody { chunks: Chunks::new(bytes), sized: true, trailers: None }
    }
}

impl Body for PatternBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let frame = this.chunks.next().map(Frame::data).or_else(|| this.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.sized && self.chunks.offset == self.chunks.end
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized { SizeHint::with_exact(self.chunks.end - self.chunks.offset) } else { SizeHint::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_transferred_is_that_of_the_bytes() {
        for length in [0, 1, 251, 16_384, 40_000] {
            assert_eq!(transferred_of_pattern(length as u64), Transferred::of(&pattern(0, length)), "{length}");
        }
    }

    #[test]
    fn the_pattern_goes_on_where_it_was_cut() {
        let whole = pattern(0, 600);
        assert_eq!(whole[300..], pattern(300, 300)[..]);
    }
}
