//! Counts the open tunnels: how many there are now, and how many there were at most.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many tunnels are open now, and how many were open at once at most. Several drivers may share one.
#[derive(Debug, Default)]
pub struct OpenTunnels {
    now: AtomicU64,
    most: AtomicU64,
}

impl OpenTunnels {
    /// How many tunnels are open now.
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// How many tunnels were open at once at most.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// Counts a tunnel as open until what is returned is dropped.
    pub(super) fn enter(&self) -> impl Drop + use<'_> {
        struct Open<'a>(&'a OpenTunnels);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.now.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        Open(self)
    }
}
