//! Builds the runtime, whose threads let others have a core before they go to sleep on it.

use std::cell::Cell;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

/// Who was awake for less had next to nothing to do. Then nobody waits for the core, and whoever brings the next work best finds us asleep: a
/// lone round trip would take twice as long, since the scheduler wakes those that have just run on another core.
const BUSY: Duration = Duration::from_micros(50);

/// For how long others may have the core while one of our threads makes way: those that we wait for give it back sooner. Whoever has it for
/// longer computes, and would take from us what the scheduler means us to have.
const SHORT: Duration = Duration::from_millis(2);

/// What a thread loses beyond that is a hundredth of its time at most.
const REST: u32 = 100;

thread_local! {
    static WOKE: Cell<Option<Instant>> = const { Cell::new(None) };
    static RESTS_UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The runtime of the process, with a thread for each core.
///
/// # Errors
/// Those of epoll_create(2) and clone(2).
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().on_thread_unpark(wake).on_thread_park(make_way).build()
}

#[expect(clippy::disallowed_methods, reason = "it is about real threads, of which a simulation has none")]
fn wake() {
    WOKE.set(Some(Instant::now()));
}

/// Lets whoever waits for this core have it, before this thread, which was busy, sleeps for want of work.
///
/// The others, clients and upstreams on this machine or its other work, bring what the thread is about to wait for: it finds more of it
/// at a time then, and the core need not be woken (BENCHMARKS.md). Where nobody waits it is one quick call.
#[expect(clippy::disallowed_methods, reason = "as above")]
fn make_way() {
    let before = Instant::now();
    let was_busy = WOKE.get().is_some_and(|woke| before.duration_since(woke) >= BUSY);
    if !was_busy || RESTS_UNTIL.get().is_some_and(|until| before < until) {
        return;
    }
    thread::yield_now();
    RESTS_UNTIL.set(rest_after(before.elapsed()).map(|rest| before + rest));
}

/// How long a thread that lost its core for `lost` does not make way again.
fn rest_after(lost: Duration) -> Option<Duration> {
    Some(lost.checked_sub(SHORT)?.saturating_mul(REST))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "as above")]
mod tests {
    use super::*;

    /// Two busy neighbours took a quarter of the requests from a proxy that made way without a bound.
    #[test]
    fn a_thread_that_lost_its_core_for_long_does_not_make_way_for_a_hundred_times_as_long() {
        assert_eq!(rest_after(Duration::from_micros(50)), None);
        assert_eq!(rest_after(Duration::from_millis(3)), Some(Duration::from_millis(100)));
        assert_eq!(rest_after(Duration::from_millis(7)), Some(Duration::from_millis(500)));
    }

    /// What [`RESTS_UNTIL`] is behind a turn of [`make_way`]: it is set anew by whoever makes way.
    fn rests_behind_a_turn(awake_for: Duration, until: Instant) -> Option<Instant> {
        WOKE.set(Instant::now().checked_sub(awake_for));
        RESTS_UNTIL.set(Some(until));
        make_way();
        RESTS_UNTIL.get()
    }

    #[test]
    fn who_was_busy_makes_way_unless_it_rests() {
        let (long, now) = (Duration::from_secs(3600), Instant::now());
        assert_eq!(rests_behind_a_turn(long, now + long), Some(now + long));
        assert_ne!(rests_behind_a_turn(long, now), Some(now));
    }

    /// A round trip over one tunnel alone took 80 µs instead of 40 where every thread made way.
    #[test]
    fn a_thread_that_had_next_to_nothing_to_do_goes_to_sleep_at_once() {
        let now = Instant::now();
        WOKE.set(Some(now + Duration::from_secs(3600)));
        RESTS_UNTIL.set(Some(now));
        make_way();
        assert_eq!(RESTS_UNTIL.get(), Some(now));
    }
}
