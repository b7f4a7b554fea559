//! Keeps the wall clock of a world, which a scenario can make jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use crate::record::Clock;

/// What the wall clock shows when a scenario begins: 2026-01-01, in milliseconds since the Unix epoch.
const BEGINS_AT: u64 = 1_767_225_600_000;

/// The wall clock: a fixed day, plus the time of the world, plus all jumps so far. Clones show the same time.
#[derive(Clone, Debug)]
pub struct WallClock {
    clock: Clock,
    jumped_ms: Arc<AtomicI64>,
}

impl WallClock {
    /// A wall clock that runs as `clock` does.
    pub fn new(clock: Clock) -> Self {
        WallClock { clock, jumped_ms: Arc::default() }
    }

    /// What it shows now.
    pub fn now(&self) -> SystemTime {
        let jumped = self.jumped_ms.load(Ordering::Relaxed);
        let base = Duration::from_millis(BEGINS_AT.saturating_add_signed(jumped));
        SystemTime::UNIX_EPOCH + base + self.clock.now()
    }

    /// Sets it forward by that many milliseconds, or back if they are negative.
    pub fn jump(&self, milliseconds: i64) {
        self.jumped_ms.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::{Verdict, run};
    use crate::scenario;

    /// The proxy judges those of upstreams, and clients those of targets.
    #[test]
    fn certificates_have_to_be_valid_by_this_clock_and_not_by_the_machines() {
        let text = r#"{"name": "x", "story": "x", "duration": "6s",
            "proxy": {"health_check": {"backoff_base": "100ms", "backoff_max": "200ms"},
                "upstream_proxies": [{"url": "https://a:8080"}]},
            "upstreams": [{"name": "a", "tls": true}, {"name": "b"}],
            "clients": [{"name": "k", "do": "echo", "requests": 60, "rate": 10}],
            "timeline": [{"at": "2s", "do": "clock-jump", "by": "28000days"}, {"at": "4s", "do": "clock-jump", "by": "-28000days"}],
            "expect": [{"what": "requests", "outcome": "ok", "exactly": 20, "until": "2s"},
                {"what": "requests", "outcome": "status", "exactly": 19, "from": "2050ms", "until": "4s"},
                {"what": "requests", "outcome": "ok", "at_least": 15, "from": "4s"}]}"#;
        let upstream = scenario::parse(text).unwrap();
        // None of the laws knows that an upstream fails because of the clock.
        let broken: Vec<String> = run(&upstream, 1).violations.into_iter().map(|one| one.of).collect();
        assert!(broken.iter().all(|of| !of.starts_with("expect")), "{broken:?}");

        let text = text.replace(r#""url": "https://a:8080""#, r#""url": "http://b:8080""#).replace("echo", "tls");
        let target = scenario::parse(&text.replace(r#""status""#, r#""tls""#)).unwrap();
        let broken: Vec<String> = run(&target, 1).violations.into_iter().map(|one| one.of).collect();
        assert!(broken.iter().all(|of| !of.starts_with("expect")), "{broken:?}");
        let still = scenario::parse(&text.replace("28000days", "1h")).unwrap();
        assert_ne!(run(&still, 1).verdict, Verdict::Passed, "an hour makes no certificate invalid");
    }
}
