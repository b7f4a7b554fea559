//! Provides a signal that fires once, and that waiters hear in the order in which they began to wait.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    pub async fn wait(&self) {
        let notified = self.0.waiters.notified();
        let mut notified = pin!(notified);
        // Registered before the flag is read, so that a fire in between is not missed.
        notified.as_mut().enable();
        if !self.fired() {
            notified.await;
        }
    }
}
