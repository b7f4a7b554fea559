//! Takes log lines from whoever logs without making them wait, and writes them in a thread of its own.
//!
//! Whoever logs never waits: a reader of standard error that stops must not stop the proxy. Lines that find no room are
//! dropped and counted, and the count is told.

use std::io::{self, Write};
use std::mem::take;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait to be written, and as many again while they are: some 20,000 lines.
pub(super) const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// What is written at once: a line waits this long for others, unless there are this many bytes. Waking the thread for each
/// line would cost as much as the line does.
const GATHER: Duration = Duration::from_millis(20);
const ENOUGH_BYTES: usize = 64 * 1024;

/// For how long the end of a process waits for its last lines to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where lines wait. Cloned into whatever writes lines.
#[derive(Clone, Debug, Default)]
pub(super) struct LogQueue(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Something waits, or the end has come.
    changed: Condvar,
    /// Everything is written.
    finished: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: u64,
    closing: bool,
    finished: bool,
}

impl LogQueue {
    /// Starts writing what is queued, lines that end in `end`, to `out`; `tell` logs how many were dropped since it was last told.
    ///
    /// # Errors
    /// No thread could be started.
    pub(super) fn start(
        &self,
        out: impl Write + Send + 'static,
        end: u8,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Flush> {
        let queue = Arc::clone(&self.0);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || queue.write_to(out, end, tell))?;
        Ok(Flush(Arc::clone(&self.0)))
    }

    /// Lines that were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut out: impl Write, end: u8, tell: impl Fn(u64)) {
        let mut batch = Vec::new();
        let mut told = 0;
        let mut works = true;
        loop {
            let waiting = self.lock();
            let nothing = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.closing;
            let waiting = self.changed.wait_while(waiting, nothing).unwrap_or_else(PoisonError::into_inner);
            let little = |waiting: &mut Waiting| waiting.bytes.len() < ENOUGH_BYTES && !waiting.closing;
            let gathered = self.changed.wait_timeout_while(waiting, GATHER, little);
            let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut batch, &mut waiting.bytes);
            let lines = take(&mut waiting.lines);
            let dropped = self.dropped.load(Ordering::Relaxed);
            drop(waiting);
            let over = batch.is_empty();
            // Told where the lines are missing: behind this batch, and now there is room. Where nothing can be written
            // there is nobody to tell.
            if works && dropped > told {
                tell(dropped - told);
                told = dropped;
            } else if over {
                break;
            }
            if !over {
                let unwritten = write_most(&mut out, &batch);
                works = unwritten.is_empty();
                // A message may have line breaks of its own.
                let lost = unwritten.iter().filter(|byte| **byte == end).count() as u64;
                self.dropped.fetch_add(lost.min(lines), Ordering::Relaxed);
                batch.clear();
            }
        }
        self.lock().finished = true;
        self.finished.notify_all();
    }
}

/// Writes as much of `bytes` as can be written, and returns the rest.
fn write_most<'b>(out: &mut impl Write, mut bytes: &'b [u8]) -> &'b [u8] {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return bytes,
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    if out.flush().is_ok() { &[] } else { bytes }
}

/// One line's way into the queue.
impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock();
        let before = waiting.bytes.len();
        if before + line.len() > QUEUE_BYTES {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.bytes.extend_from_slice(line);
            waiting.lines += 1;
        }
        let after = waiting.bytes.len();
        drop(waiting);
        // Only these change what the writing thread waits for.
        if before == 0 || (before < ENOUGH_BYTES && after >= ENOUGH_BYTES) {
            self.0.changed.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Dropped at the end of a process: waits until what is queued is written, but no longer than a second.
#[derive(Debug)]
pub struct Flush(Arc<Queue>);

impl Drop for Flush {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.closing = true;
        self.0.changed.notify_one();
        // Whether it came to its end or not, there is nothing else to do.
        drop(self.0.finished.wait_timeout_while(waiting, LAST_WORDS, |waiting| !waiting.finished));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes what it is given into a channel, but waits for leave first.
    struct Gated {
        leave: Receiver<io::Result<()>>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Without a gate keeper there is leave for everything.
            self.leave.recv().unwrap_or(Ok(()))?;
            self.written.send(bytes.to_owned()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (LogQueue, Flush, Sender<io::Result<()>>, Receiver<Vec<u8>>) {
        let ((gate, leave), (send, written)) = (channel(), channel());
        let queue = LogQueue::default();
        let teller = queue.clone();
        let flush = queue.start(Gated { leave, written: send }, b'\n', move |lines| {
            teller.clone().write_all(format!("{lines} dropped\n").as_bytes()).unwrap();
        });
        (queue, flush.unwrap(), gate, written)
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_their_count_is_told_when_it_goes_on() {
        let (queue, flush, gate, written) = gated();
        let line = [&[b'x'; 1023], b"\n".as_slice()].concat();
        // One batch stands at the gate, whatever it holds; the rest waits or finds no room. Nothing here blocks.
        let lines = 2 * QUEUE_BYTES / line.len() + 100;
        for _ in 0..lines {
            queue.clone().write_all(&line).unwrap();
        }
        let dropped = queue.dropped();
        assert!((100..=(lines / 2 + 100) as u64).contains(&dropped), "{dropped}");
        drop(gate);
        drop(flush);
        let text = String::from_utf8(written.into_iter().flatten().collect()).unwrap();
        let (kept, told): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('x'));
        assert_eq!(kept.len() as u64, lines as u64 - dropped);
        // In one line, or in two where the first batch was taken late.
        let told = told.iter().map(|line| line.strip_suffix(" dropped").unwrap().parse::<u64>().unwrap());
        assert_eq!(told.sum::<u64>(), dropped);
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted_and_end_nothing() {
        let (queue, flush, gate, written) = gated();
        gate.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        queue.clone().write_all(b"lost\n").unwrap();
        while queue.dropped() == 0 {
            std::thread::yield_now();
        }
        drop(gate);
        queue.clone().write_all(b"kept\n").unwrap();
        drop(flush);
        assert_eq!(String::from_utf8(written.into_iter().flatten().collect()).unwrap(), "kept\n1 dropped\n");
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_has_stopped() {
        let (queue, flush, _gate, written) = gated();
        queue.clone().write_all(b"never read\n").unwrap();
        drop(flush);
        assert!(written.try_recv().is_err());
    }
}
