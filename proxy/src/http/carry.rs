//! Carries one plain HTTP body from one connection to another.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::env::Counter;
use crate::http::body::{BodyCodec, BodyError};
use crate::http::inbox::Inbox;

/// Why a body could not be carried to its end.
#[derive(Debug)]
pub(crate) enum CarryError {
    /// The sender's connection failed or ended before the body did.
    Source(io::Error),
    /// The receiver takes no more bytes.
    Destination(io::Error),
    /// The body is malformed.
    Malformed(BodyError),
}

/// A body that is being carried. All bytes that were read are written before more are read, so that a slow receiver slows the sender.
#[derive(Debug)]
pub(crate) struct Carry {
    codec: BodyCodec,
    out: BytesMut,
    /// How many bytes at the front of `out` belong to the head. They are not counted.
    head: usize,
    /// What is wrong with what came with the head.
    malformed: Option<BodyError>,
    started: bool,
    unflushed: bool,
    finished: bool,
}

impl Carry {
    /// Carries a body in the framing of `codec`.
    pub(crate) fn new(codec: BodyCodec) -> Self {
        Carry::behind(BytesMut::new(), codec)
    }

    /// Carries a body that is sent behind `head`, and in the same packet if it is short.
    pub(crate) fn behind(head: BytesMut, codec: BodyCodec) -> Self {
        Carry { codec, head: head.len(), out: head, malformed: None, started: false, unflushed: false, finished: false }
    }

    /// Puts `head` in front of a body of which nothing was read, so that a short one leaves with it. What a receiver before this one
    /// did not take is dropped.
    pub(crate) fn lead_with(&mut self, head: BytesMut) {
        debug_assert!(!self.started, "a body is sent once");
        (self.head, self.out, self.finished) = (head.len(), head, false);
    }

    /// Whether bytes were read that the receiver has not accepted yet. Then the receiver is slow, and not the sender.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.out.is_empty()
    }

    /// Whether bytes of the body were read. Then it can't be sent again.
    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    /// Whether the whole body has been delivered.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Moves as many bytes as it can. It is ready once the whole body is delivered.
    pub(crate) fn poll<S: AsyncRead + Unpin, D: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        (inbox, source): (&mut Inbox, &mut S),
        destination: &mut D,
        delivered: &Counter,
    ) -> Poll<Result<(), CarryError>> {
        let mut ended = false;
        let head_is_whole = self.head > 0 && self.head == self.out.len();
        if head_is_whole && !inbox.bytes.is_empty() && !self.codec.is_done() {
            // What came with the head leaves with it. What is wrong with it is told once the head is out.
            self.started = true;
            self.malformed = self.codec.step(&mut inbox.bytes, &mut self.out).err();
        }
        loop {
            while !self.out.is_empty() {
                let written = ready!(Pin::new(&mut *destination).poll_write(cx, &self.out));
                let count = match written {
                    Ok(0) => return Poll::Ready(Err(CarryError::Destination(io::ErrorKind::WriteZero.into()))),
                    Ok(count) => count,
                    Err(error) => return Poll::Ready(Err(CarryError::Destination(error))),
                };
                self.out.advance(count);
                self.unflushed = true;
                let head = count.min(self.head);
                self.head -= head;
                delivered.add((count - head) as u64);
            }
            if let Some(error) = self.malformed.take() {
                return Poll::Ready(Err(CarryError::Malformed(error)));
            }
            if self.codec.is_done() || ended {
                if self.unflushed {
                    ready!(Pin::new(&mut *destination).poll_flush(cx)).map_err(CarryError::Destination)?;
                    self.unflushed = false;
                }
                self.finished = true;
                return Poll::Ready(Ok(()));
            }
            if !inbox.bytes.is_empty() {
                self.started = true;
                self.codec.step(&mut inbox.bytes, &mut self.out).map_err(CarryError::Malformed)?;
                continue;
            }
            match inbox.poll_fill_body(cx, source) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(_)) => {
                    let cut = |error| CarryError::Source(io::Error::new(io::ErrorKind::UnexpectedEof, error));
                    self.codec.finish_on_eof().map_err(cut)?;
                    ended = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(CarryError::Source(error))),
                Poll::Pending => {
                    if self.unflushed
                        && Pin::new(&mut *destination).poll_flush(cx).map_err(CarryError::Destination)?.is_ready()
                    {
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::http::body::BodyRules;
    use crate::http::head::{Fields, Framing, HeadLimits, Kind};

    const LIMITS: HeadLimits = HeadLimits { max_bytes: 1024, max_fields: 10 };

    /// Carries as many bytes as it can while nobody reads at the other end. Returns how many were read.
    async fn taken_for_a_receiver_that_reads_nothing(framing: Framing, bytes: Vec<u8>) -> usize {
        let (mut sender, mut source) = duplex(bytes.len());
        let (mut destination, _receiver) = duplex(1000);
        let length = bytes.len();
        sender.write_all(&bytes).await.unwrap();
        let rules = BodyRules::new(Kind::Request, &Fields::new(), LIMITS);
        let (mut carry, mut inbox) = (Carry::new(BodyCodec::new(framing, rules)), Inbox::default());
        let count = Counter::default();
        for _ in 0..3 {
            let polled = poll_fn(|cx| {
                Poll::Ready(carry.poll(cx, (&mut inbox, &mut source), &mut destination, &count).is_pending())
            });
            assert!(polled.await);
        }
        assert_eq!(count.get(), 1000, "what the receiver has room for is delivered");
        assert!(carry.is_blocked());
        drop(sender);
        let mut left = Vec::new();
        source.read_to_end(&mut left).await.unwrap();
        length - left.len()
    }

    #[tokio::test]
    async fn no_more_is_taken_than_one_read_while_the_receiver_is_slow() {
        let bytes = vec![b'x'; 1 << 20];
        for framing in [Framing::Length(1 << 20), Framing::UntilClose] {
            let taken = taken_for_a_receiver_that_reads_nothing(framing, bytes.clone()).await;
            assert!(taken <= 64 * 1024, "{framing:?}: {taken}");
        }
        let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
        let taken = taken_for_a_receiver_that_reads_nothing(Framing::Chunked, chunk.repeat(256)).await;
        assert!(taken <= 64 * 1024, "{taken}");
    }
}
