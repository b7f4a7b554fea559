//! Moves bytes from socket to socket inside the kernel, with splice(2) and pipes.
//!
//! Small exchanges go through a buffer (fewer descriptors, same number of system calls). Once a direction fills
//! whole buffers it is streaming, and a pipe from a bounded pool is lent to it until its source runs dry.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::Interest;

use crate::env::Counter;
use crate::env::os::descriptors::{nofile, pipe_descriptors_for};
use crate::env::os::socket::OsStream;
use crate::env::relay::pump::{BUFFER_BYTES, BufferPump, Pump, PumpError};

/// Pipes open at once in this process, from its descriptor limit; a direction that finds none keeps to its buffer.
static MAX_PIPES: LazyLock<usize> = LazyLock::new(|| pipe_descriptors_for(nofile()) / 2);

/// Whole buffers in a row, 1 MiB together, that make a direction "streaming". Measured on loopback (`cargo bench -p proxy
/// --bench relay`): 64 MiB are 1.7 times faster by splice(2), bursts of 1 MiB 1.7 times slower.
const FULL_READS: u8 = 64;

/// Asked of one splice: more than a pipe holds by default (64 KiB), so that the pipe is the limit.
const SPLICE_BYTES: usize = 1 << 20;

struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

struct Pipes {
    spare: Vec<Pipe>,
    open: usize,
}

static PIPES: Mutex<Pipes> = Mutex::new(Pipes { spare: Vec::new(), open: 0 });

fn borrow_pipe() -> Option<LentPipe> {
    let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pipe) = pipes.spare.pop() {
        return Some(LentPipe { pipe: Some(pipe), held: 0 });
    }
    if pipes.open >= *MAX_PIPES {
        return None;
    }
    // Out of descriptors: the buffer does as well.
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
    pipes.open += 1;
    Some(LentPipe { pipe: Some(Pipe { reader, writer }), held: 0 })
}

/// A pipe on loan; goes back to the pool empty, or is closed with what it holds.
struct LentPipe {
    pipe: Option<Pipe>,
    held: usize,
}

impl Drop for LentPipe {
    fn drop(&mut self) {
        let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
        match self.pipe.take() {
            Some(pipe) if self.held == 0 => pipes.spare.push(pipe),
            _ => pipes.open -= 1,
        }
    }
}

/// A pump between two TCP sockets that splices while bytes stream.
pub(super) struct SplicePump {
    buffered: BufferPump,
    full_reads: u8,
    pipe: Option<LentPipe>,
    ended: bool,
}

impl SplicePump {
    /// A pump that delivers `early` first.
    pub(super) fn starting_with(early: &[u8]) -> Self {
        SplicePump { buffered: BufferPump::starting_with(early), full_reads: 0, pipe: None, ended: false }
    }

    /// Streams through the pipe; ready when the source ended or ran dry with the pipe empty (then the pipe is given back).
    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
        source: &OsStream,
        destination: &OsStream,
        delivered: &Counter,
    ) -> Poll<Result<(), PumpError>> {
        let Some(lent) = &mut self.pipe else { return Poll::Ready(Ok(())) };
        let Some(pipe) = &lent.pipe else { return Poll::Ready(Ok(())) };
        loop {
            while lent.held > 0 {
                ready!(destination.tcp.poll_write_ready(cx)).map_err(PumpError::refused)?;
                let moved = destination.tcp.try_io(Interest::WRITABLE, || {
                    Ok(splice(&pipe.reader, None, &destination.tcp, None, lent.held, SpliceFlags::NONBLOCK)?)
                });
                match moved {
                    Ok(0) => return Poll::Ready(Err(PumpError::refused(io::ErrorKind::WriteZero.into()))),
                    Ok(moved) => {
                        lent.held -= moved;
                        delivered.add(moved as u64);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(PumpError::refused(error))),
                }
            }
            match source.tcp.poll_read_ready(cx) {
                Poll::Ready(ready) => ready.map_err(PumpError::Source)?,
                Poll::Pending => break,
            }
            let moved = source.tcp.try_io(Interest::READABLE, || {
                Ok(splice(&source.tcp, None, &pipe.writer, None, SPLICE_BYTES, SpliceFlags::NONBLOCK)?)
            });
            match moved {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(moved) => lent.held = moved,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(PumpError::Source(error))),
            }
        }
        self.pipe = None;
        self.full_reads = 0;
        Poll::Ready(Ok(()))
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
            ready!(self.poll_stream(cx, source, destination, delivered))?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            ready!(self.buffered.poll_deliver(cx, destination, delivered))?;
            if self.full_reads >= FULL_READS {
                self.pipe = borrow_pipe();
                self.full_reads = 0;
                if self.pipe.is_some() {
                    continue;
                }
            }
            match ready!(self.buffered.poll_fill(cx, source))? {
                0 => return Poll::Ready(Ok(())),
                BUFFER_BYTES => self.full_reads += 1,
                _ => self.full_reads = 0,
            }
        }
    }
}
