//! Provides a signal that fires once, and that waiters hear in an order which depends on nothing but when they began to wait.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use tokio::sync::Notify;

/// A signal that fires once and stays fired; every clone hears it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<StopState>);

#[derive(Debug, Default)]
struct StopState {
    fired: AtomicBool,
    /// Each has a lock, so with one for all that wait every connection would stand in line as it opens and as it ends.
    waiters: [Waiters; 32],
    /// Who comes next waits among these.
    turn: AtomicUsize,
}

/// Those who wait under one lock, which lies beside no other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Waiters(Notify);

impl Stop {
    /// One that has not fired.
    pub fn new() -> Self {
        Stop::default()
    }

    /// Fires it. Doing so again changes nothing.
    pub fn fire(&self) {
        self.0.fired.store(true, Ordering::Release);
        for waiters in &self.0.waiters {
            waiters.0.notify_waiters();
        }
    }

    /// Whether it has fired.
    pub fn fired(&self) -> bool {
        self.0.fired.load(Ordering::Acquire)
    }

    /// Waits until it has fired. Cancel safe.
    ///
    /// It is registered once and then reads a flag, because tasks poll this whenever they are woken, by whatever: a
    /// registration takes a lock.
    pub async fn wait(&self) {
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed);
        let waiters = &self.0.waiters[turn % self.0.waiters.len()];
        let mut notified = pin!(waiters.0.notified());
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

#[cfg(test)]
mod tests {
    use std::task::{Context, Wake};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn all_who_wait_are_woken_and_whoever_comes_later_need_not_wait() {
        let (stop, woken) = (Stop::new(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(stop.wait())).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().poll(&mut cx).is_pending()));
        stop.fire();
        assert_eq!(woken.0.load(Ordering::Relaxed), 100);
        assert!(waiting.iter_mut().all(|one| one.as_mut().poll(&mut cx).is_ready()));
        assert!(Box::pin(stop.wait()).as_mut().poll(&mut cx).is_ready());
    }
}
