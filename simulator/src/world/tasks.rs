//! Every engine counts the tasks of a host, kills them together, and catches their panics.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::AbortHandle;

/// The tasks of one host.
#[derive(Debug, Default)]
pub(super) struct HostTasks {
    /// Handles that kill the tasks, in the order in which the tasks were started. Some may have ended.
    handles: Vec<AbortHandle>,
    live: usize,
}

impl HostTasks {
    /// Counts a task that begins.
    pub(super) fn begin(&mut self) {
        self.live += 1;
    }

    /// Keeps the handle that kills a task which has begun.
    pub(super) fn keep(&mut self, handle: AbortHandle) {
        // Handles of ended tasks are dropped from time to time, so that their number stays bounded.
        if self.handles.len() > 2 * self.live + 64 {
            self.handles.retain(|task| !task.is_finished());
        }
        self.handles.push(handle);
    }

    /// Counts a task that has ended.
    pub(super) fn end(&mut self) {
        self.live -= 1;
    }

    /// Forgets all tasks, because their process was killed.
    pub(super) fn forget(&mut self) {
        self.live = 0;
    }

    /// How many tasks have not ended.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Takes the handles that kill the tasks, in the order in which the tasks were started. An abort may drop its task at
    /// once, so the caller must not hold a lock that the end of a task needs.
    pub(super) fn take(&mut self) -> Vec<AbortHandle> {
        std::mem::take(&mut self.handles)
    }
}

/// Polls `task`. If it panics, the error is the message of the panic.
pub(super) fn poll_catching<F: Future<Output = ()> + ?Sized>(
    mut task: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), String>> {
    match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "something that is not a text".to_owned())
}
