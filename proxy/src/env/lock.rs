//! Provides the lock under which threads share what is no atomic. Tests see how often it is taken, and for how long it is held.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex that is held for a moment only, never across an await. A panic under it poisons nothing: what it holds is
/// whole after each step.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

/// What a [`Lock`] holds, for as long as others wait.
#[derive(Debug)]
pub(crate) struct Held<'l, T> {
    /// Ends first.
    #[cfg(any(test, feature = "testing"))]
    _watched: watched::Turn,
    held: MutexGuard<'l, T>,
}

impl<T> Lock<T> {
    pub(crate) const fn new(held: T) -> Self {
        Lock(Mutex::new(held))
    }

    /// Waits until nobody else has it.
    pub(crate) fn lock(&self) -> Held<'_, T> {
        Held {
            held: self.0.lock().unwrap_or_else(PoisonError::into_inner),
            #[cfg(any(test, feature = "testing"))]
            _watched: watched::Turn::begin(),
        }
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

/// What tests and benches see of all locks of this process. No shipped binary contains it.
#[cfg(any(test, feature = "testing"))]
pub(crate) mod watched {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    thread_local! {
        static TURNS: Cell<u64> = const { Cell::new(0) };
    }

    static LONGEST: AtomicU64 = AtomicU64::new(0);

    /// How often this thread has taken a lock so far.
    pub(crate) fn turns() -> u64 {
        TURNS.get()
    }

    /// For how long one was held at most since this was asked last, by any thread.
    pub(crate) fn longest() -> Duration {
        Duration::from_nanos(LONGEST.swap(0, Ordering::Relaxed))
    }

    /// From the moment at which a lock is taken to the one at which it is let go.
    #[derive(Debug)]
    pub(super) struct Turn(Instant);

    impl Turn {
        #[expect(
            clippy::disallowed_methods,
            reason = "what others wait for is real time, also where the clock is paused"
        )]
        pub(super) fn begin() -> Self {
            TURNS.set(TURNS.get() + 1);
            Turn(Instant::now())
        }
    }

    impl Drop for Turn {
        fn drop(&mut self) {
            let nanos = u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX);
            LONGEST.fetch_max(nanos, Ordering::Relaxed);
        }
    }
}
