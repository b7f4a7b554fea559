//! Moves bytes from socket to socket inside the kernel, with splice(2) and pipes.
//!
//! Small exchanges go through a buffer: it takes as many system calls and no descriptors. A direction that has filled whole
//! buffers is a stream from then on, over all its dry moments, until little comes at a time again. A pipe is lent to
//! it while bytes are on their way, and given back whenever it runs dry.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;

use crate::env::Counter;
use crate::env::os::descriptors::{nofile, pipe_descriptors_for};
use crate::env::os::socket::OsStream;
use crate::env::relay::pump::{BUFFER_BYTES, BufferPump, Pump, PumpError};

/// Pipes open at once in this process, from its descriptor limit; a direction that finds none keeps to its buffer.
static MAX_PIPES: LazyLock<usize> = LazyLock::new(|| pipe_descriptors_for(nofile()) / 2);

/// Whole buffers in a row, 128 KiB together, that make a direction a stream.
const FULL_READS: u8 = 8;

/// Less than a buffer so often in a row, and a direction is no stream any more.
const PATIENCE: u8 = 8;

/// What a pipe is asked to hold. All pipes together stay below the 64 MiB that Linux lets one user's pipes hold
/// (`fs.pipe-user-pages-soft`); with 1 MiB each they would not, and gained nothing (BENCHMARKS.md).
const PIPE_BYTES: usize = 256 * 1024;

/// What a pipe has to hold to be worth more than a buffer. It is what a pipe has by itself; a user who has too many of them
/// gets pipes of a page or two.
const MIN_PIPE_BYTES: usize = 64 * 1024;

/// Pipes kept for reuse on each thread; beyond it they are closed.
const SPARE_PIPES: usize = 4;

/// Asked of one splice: more than a pipe holds, so that the pipe is the limit.
const SPLICE_BYTES: usize = 1 << 30;

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// Pipes that are open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Leave to have one pipe open.
struct Permit;

impl Permit {
    fn take() -> Option<Permit> {
        let open = OPEN.fetch_add(1, Ordering::Relaxed);
        // One too many takes itself off the count again when it is dropped here.
        let permit = Permit;
        (open < *MAX_PIPES).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    _permit: Permit,
}

impl Pipe {
    /// An empty one. There is none where there are enough, or where the system has none to give: the buffer does as well.
    fn take() -> Option<Pipe> {
        SPARE.with_borrow_mut(Vec::pop).or_else(Pipe::open)
    }

    fn open() -> Option<Pipe> {
        let permit = Permit::take()?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // Refused where fs.pipe-max-size is lower, or this user's pipes hold too much together; it stays as it is then.
        let _ = fcntl_setpipe_size(&writer, PIPE_BYTES);
        let is_worth_it = fcntl_getpipe_size(&writer).is_ok_and(|bytes| bytes >= MIN_PIPE_BYTES);
        is_worth_it.then_some(Pipe { reader, writer, _permit: permit })
    }

    /// Takes an empty one back.
    fn give(self) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_PIPES {
                spare.push(self);
            }
        });
    }
}

/// A pipe on loan. It is given back empty; dropped on the way it is closed with what it holds.
struct LentPipe {
    pipe: Pipe,
    held: usize,
}

/// A pump between two TCP sockets that splices while bytes stream.
pub(super) struct SplicePump {
    buffered: BufferPump,
    lent: Option<LentPipe>,
    /// Whole buffers in a row, while this is no stream.
    full_reads: u8,
    /// How often in a row less than a buffer has to come for this to be no stream any more; zero if it is none.
    patience: u8,
}

impl SplicePump {
    /// A pump that delivers `early` first.
    pub(super) fn starting_with(early: &[u8]) -> Self {
        SplicePump { buffered: BufferPump::starting_with(early), lent: None, full_reads: 0, patience: 0 }
    }

    /// Delivers what the pipe holds; ready when that is nothing.
    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        destination: &OsStream,
        delivered: &Counter,
    ) -> Poll<Result<(), PumpError>> {
        let Some(LentPipe { pipe, held }) = &mut self.lent else { return Poll::Ready(Ok(())) };
        while *held > 0 {
            ready!(destination.tcp.poll_write_ready(cx)).map_err(PumpError::refused)?;
            let (asked, mut moved) = (*held, 0);
            let spliced = destination.tcp.try_io(Interest::WRITABLE, || {
                moved = splice(&pipe.reader, None, &destination.tcp, None, asked, SpliceFlags::NONBLOCK)?;
                // Less than all: the socket was full behind it. To ask once more would only say so again.
                if moved > 0 && moved < asked { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            *held -= moved;
            delivered.add(moved as u64);
            match spliced {
                Ok(()) if moved == 0 => return Poll::Ready(Err(PumpError::refused(io::ErrorKind::WriteZero.into()))),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(PumpError::refused(error)));
                }
                _ => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Splices from the source into the empty pipe; ready with the count, zero at the end. Where there is no pipe to be
    /// had, this is no stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>, source: &OsStream) -> Poll<Result<Option<usize>, PumpError>> {
        loop {
            ready!(source.tcp.poll_read_ready(cx)).map_err(PumpError::Source)?;
            if self.lent.is_none() {
                self.lent = Pipe::take().map(|pipe| LentPipe { pipe, held: 0 });
            }
            let Some(LentPipe { pipe, held }) = &mut self.lent else {
                self.patience = 0;
                return Poll::Ready(Ok(None));
            };
            let spliced = source.tcp.try_io(Interest::READABLE, || {
                Ok(splice(&source.tcp, None, &pipe.writer, None, SPLICE_BYTES, SpliceFlags::NONBLOCK)?)
            });
            match spliced {
                Ok(moved) => {
                    *held = moved;
                    self.patience = if moved < BUFFER_BYTES { self.patience - 1 } else { PATIENCE };
                    return Poll::Ready(Ok(Some(moved)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(PumpError::Source(error))),
            }
        }
    }

    /// Streams while this is a stream; ready with whether the source has ended.
    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
        source: &OsStream,
        destination: &OsStream,
        delivered: &Counter,
    ) -> Poll<Result<bool, PumpError>> {
        loop {
            ready!(self.poll_deliver(cx, destination, delivered))?;
            let filled = if self.patience > 0 { self.poll_fill(cx, source)? } else { Poll::Ready(None) };
            if !matches!(filled, Poll::Ready(Some(1..)))
                && let Some(lent) = self.lent.take()
            {
                lent.pipe.give();
            }
            match ready!(filled) {
                Some(0) => return Poll::Ready(Ok(true)),
                Some(_) => {}
                None => return Poll::Ready(Ok(false)),
            }
        }
    }
}

impl Pump<OsStream, OsStream> for SplicePump {
    fn poll_pump(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut OsStream,
        destination: &mut OsStream,
        delivered: &Counter,
    ) -> Poll<Result<(), PumpError>> {
        loop {
            ready!(self.buffered.poll_deliver(cx, destination, delivered))?;
            let is_streaming = self.patience > 0 || self.lent.is_some();
            if is_streaming && ready!(self.poll_stream(cx, source, destination, delivered))? {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.buffered.poll_fill(cx, source))? {
                0 => return Poll::Ready(Ok(())),
                BUFFER_BYTES => {
                    self.full_reads += 1;
                    if self.full_reads == FULL_READS {
                        (self.full_reads, self.patience) = (0, PATIENCE);
                    }
                }
                _ => self.full_reads = 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A pump between two connections, and their far ends.
    struct Line {
        pump: SplicePump,
        source: OsStream,
        destination: OsStream,
        from: TcpStream,
        to: TcpStream,
        delivered: Counter,
    }

    async fn pair() -> (TcpStream, OsStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let outside = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (outside, OsStream { tcp: listener.accept().await.unwrap().0 })
    }

    impl Line {
        async fn new() -> Self {
            let ((from, source), (to, destination)) = (pair().await, pair().await);
            let pump = SplicePump::starting_with(b"");
            Line { pump, source, destination, from, to, delivered: Counter::default() }
        }

        /// Sends `bytes` through; returns whether the pump was a stream behind them.
        async fn carries(&mut self, bytes: &[u8]) -> bool {
            let Line { pump, source, destination, from, to, delivered } = self;
            let mut heard = vec![0; bytes.len()];
            let ends = async { tokio::join!(from.write_all(bytes), to.read_exact(&mut heard)) };
            let pumping = poll_fn(|cx| pump.poll_pump(cx, source, destination, delivered));
            tokio::select! {
                biased;
                ended = pumping => panic!("ended: {ended:?}"),
                (sent, received) = ends => {
                    sent.unwrap();
                    received.unwrap();
                }
            }
            assert!(heard == bytes, "other bytes came out");
            self.pump.patience > 0
        }

        /// Runs the pump until its source is dry.
        async fn run_dry(&mut self) {
            let Line { pump, source, destination, delivered, .. } = self;
            poll_fn(|cx| {
                assert!(pump.poll_pump(cx, source, destination, delivered).is_pending());
                Poll::Ready(())
            })
            .await;
        }
    }

    fn pattern(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|place| (place % 251) as u8).collect()
    }

    /// One test, because all share the pipes of this process.
    #[tokio::test]
    async fn a_stream_is_remembered_over_dry_moments_but_keeps_no_pipe_until_little_comes_at_a_time() {
        let mut line = Line::new().await;
        assert!(!line.carries(b"a word").await);
        assert!(line.carries(&pattern(4 * 1024 * 1024)).await, "no stream after whole buffers");
        for left in (0..PATIENCE).rev() {
            assert_eq!(line.carries(b"a word").await, left > 0, "{left} words are left");
        }
        assert!(line.carries(&pattern(4 * 1024 * 1024)).await, "no stream the second time");
        assert_eq!(line.delivered.get(), 8 * 1024 * 1024 + 6 * (1 + u64::from(PATIENCE)));

        line.run_dry().await;
        assert!(line.pump.lent.is_none(), "a dry stream holds a pipe");
        let spare = SPARE.take();
        assert!(!spare.is_empty() && spare.len() <= SPARE_PIPES);
        let permits: Vec<Permit> = std::iter::from_fn(Permit::take).collect();
        assert!(!line.carries(b"a word").await, "a stream without a pipe");
        drop(spare);
        drop(permits);
        assert!(line.carries(&pattern(4 * 1024 * 1024)).await, "no stream although there are pipes again");
    }
}
