//! Provides a signal that fires once, and that waiters hear in the order in which they began to wait.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use tokio::sync::Notify;

/// A signal that fires once and stays fired; every clone hears it, in the order they began to wait.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<StopState>);

#[derive(Debug, Default)]
struct StopState {
    fired: AtomicBool,
    waiters: Notify,
}

impl Stop {
    /// One that has not fired.
    pub fn new() -> Self {
        Stop::default()
    }

    /// Fires it. Doing so again changes nothing.
    pub fn fire(&self) {
        self.0.fired.store(true, Ordering::Release);
        self.0.waiters.notify_waiters();
    }

    /// Whether it has fired.
    pub fn fired(&self) -> bool {
        self.0.fired.load(Ordering::Acquire)
    }

    /// Waits until it has fired. Cancel safe.
    ///
    /// It is registered once and then reads a flag, because tasks poll this whenever they are woken, by whatever: the
    /// mutex behind a registration is one for all of them.
    pub async fn wait(&self) {
        let mut notified = pin!(self.0.waiters.notified());
        let mut registered: Option<Waker> = None;
        poll_fn(|cx| {
            if self.fired() {
                return Poll::Ready(());
            }
            if registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            registered = Some(cx.waker().clone());
            // It looks for a fire behind its creation, so that one in between is not missed.
            notified.as_mut().poll(cx)
        })
        .await;
    }
}
