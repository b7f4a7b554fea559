//! Runs the tasks of simulated hosts. A task's host is current while it runs; tasks are counted and killed by host, and panics are noted.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::current::enter;
use super::state::with_net;
use crate::world::simulated::chance::Turn;
use crate::world::tasks::poll_catching;

thread_local! {
    /// Whether a task has run since the last [`forget_activity`], and the waker of whoever waits for that.
    static RAN: Cell<bool> = const { Cell::new(false) };
    static WATCHER: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Forgets that tasks have run.
pub(super) fn forget_activity() {
    RAN.set(false);
}

/// Is ready once a task has run since the last [`forget_activity`].
pub(super) fn poll_activity(cx: &mut Context<'_>) -> Poll<()> {
    if RAN.get() {
        return Poll::Ready(());
    }
    WATCHER.set(Some(cx.waker().clone()));
    Poll::Pending
}

/// A task makes its host the current one whenever it is polled or dropped.
struct Task<F: Future<Output = ()>> {
    host: usize,
    /// `None` once the task has ended.
    work: Option<Pin<Box<F>>>,
}

/// Starts `work` on the host with that index.
pub(super) fn spawn<F: Future<Output = ()> + 'static>(host: usize, work: F) {
    with_net(|net| net.hosts.at(host).tasks.begin());
    let task = tokio::task::spawn_local(Task { host, work: Some(Box::pin(work)) });
    with_net(|net| net.hosts.at(host).tasks.keep(task.abort_handle()));
}

impl<F: Future<Output = ()>> Task<F> {
    fn end(&mut self) {
        if let Some(work) = self.work.take() {
            enter(self.host);
            drop(work);
            with_net(|net| net.hosts.at(self.host).tasks.end());
        }
    }
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        RAN.set(true);
        if let Some(watcher) = WATCHER.take() {
            watcher.wake();
        }
        match with_net(|net| net.turn(self.host)) {
            Turn::Now => {}
            Turn::Later => {
                // The task goes to the end of the run queue.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Turn::Never => return Poll::Pending,
        }
        enter(self.host);
        let Some(work) = &mut self.work else { return Poll::Ready(()) };
        let Poll::Ready(ended) = poll_catching(work.as_mut(), cx) else {
            if with_net(|net| net.dice.wakes_for_nothing()) {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        };
        if let Err(text) = ended {
            with_net(|net| {
                let line = format!("{}: {text}", net.hosts.at(self.host).name);
                net.panics.push(line);
            });
        }
        self.end();
        Poll::Ready(())
    }
}

impl<F: Future<Output = ()>> Drop for Task<F> {
    fn drop(&mut self) {
        self.end();
    }
}
