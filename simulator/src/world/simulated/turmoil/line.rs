//! A line adds to a turmoil connection what it lacks: a send window that is counted in bytes, and a reset on demand.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// How many bytes may be written before the reader has read them. turmoil has no such limit: it counts segments, which may have any size.
pub(super) const WINDOW: usize = 64 * 1024;

/// One direction of a connection. Both ends share it, and turmoil carries the bytes.
///
/// turmoil resets a connection in the cases in which an operating system does so by itself, but a program can't ask for a
/// reset. So a stream that is aborted is dropped, and its line is marked as reset. The peer then reads the end of the stream,
/// after the bytes before it and with the latency of the link, and the mark makes a reset of that end. What the peer writes
/// afterwards is answered by turmoil with a real reset, because the socket is gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// How many bytes were written and not read yet.
    ahead: usize,
    /// Whether the reader is gone.
    unread_for_good: bool,
    /// Whether the end of this direction is a reset.
    reset: bool,
    writer: Option<Waker>,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes may be written now, at least one. If none may, the task is woken when some were read or the reader is gone.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut state = self.state();
        let room = WINDOW.saturating_sub(state.ahead);
        if room == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(room)
    }

    /// Notes that `count` bytes were written.
    pub(super) fn wrote(&self, count: usize) {
        self.state().ahead += count;
    }

    /// Notes that `count` bytes were read.
    pub(super) fn read(&self, count: usize) {
        let mut state = self.state();
        state.ahead = state.ahead.saturating_sub(count);
        wake(state);
    }

    /// Notes that the reader is gone.
    pub(super) fn read_no_more(&self) {
        let mut state = self.state();
        state.unread_for_good = true;
        wake(state);
    }

    /// Whether the reader is gone.
    pub(super) fn is_read_no_more(&self) -> bool {
        self.state().unread_for_good
    }

    /// Makes a reset of the end that the reader will find.
    pub(super) fn reset(&self) {
        self.state().reset = true;
    }

    /// Whether the end of this direction is a reset.
    pub(super) fn is_reset(&self) -> bool {
        self.state().reset
    }
}

/// Unlocks the state, then wakes the writer that waits for room.
fn wake(mut state: MutexGuard<'_, State>) {
    let writer = mem::take(&mut state.writer);
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}
