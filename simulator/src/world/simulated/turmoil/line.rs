//! What turmoil's connections lack: a window counted in bytes, and a reset on demand.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Bytes that a writer may be ahead of its reader; turmoil counts segments of any size instead.
pub(super) const WINDOW: usize = 64 * 1024;

/// One direction of a connection, as both of its ends know it. The bytes themselves take turmoil's way.
///
/// turmoil resets a connection where the system would by itself, but has no call for it. So a stream that is aborted is
/// dropped, and the end that its peer then reads, in its place and its time, is marked as a reset. What the peer writes
/// from then on is answered by turmoil's own reset, as nobody is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Written and not read.
    ahead: usize,
    /// Nobody will read any more.
    unread_for_good: bool,
    /// Its end is a reset.
    reset: bool,
    writer: Option<Waker>,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that may be written now, at least one; woken also where nobody will read any more.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut state = self.state();
        let room = WINDOW.saturating_sub(state.ahead);
        if room == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(room)
    }

    /// So much was written.
    pub(super) fn wrote(&self, count: usize) {
        self.state().ahead += count;
    }

    /// So much was read.
    pub(super) fn read(&self, count: usize) {
        let mut state = self.state();
        state.ahead = state.ahead.saturating_sub(count);
        wake(state);
    }

    /// Nothing will be read any more.
    pub(super) fn read_no_more(&self) {
        let mut state = self.state();
        state.unread_for_good = true;
        wake(state);
    }

    /// Whether nothing will be read any more.
    pub(super) fn is_read_no_more(&self) -> bool {
        self.state().unread_for_good
    }

    /// What the reader will find at its end is a reset.
    pub(super) fn reset(&self) {
        self.state().reset = true;
    }

    /// Whether the end that was read is a reset.
    pub(super) fn is_reset(&self) -> bool {
        self.state().reset
    }
}

/// Wakes who waits for room, once the state is free again.
fn wake(mut state: MutexGuard<'_, State>) {
    let writer = mem::take(&mut state.writer);
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}
