//! How far many runs have come, in one line on a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The line is written no more often, unless there is something else to say.
const EVERY: Duration = Duration::from_millis(100);
/// Back to the begin of the line, and nothing of it is left.
const ERASE: &str = "\r\u{1b}[K";

/// A line on standard error that tells of runs, erased at the end. There is none where standard error is no terminal.
pub struct Progress {
    begun: Instant,
    shown: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: Option<usize>,
    done: usize,
    failed: usize,
    written: Option<Duration>,
}

impl Progress {
    /// Of `total` runs; `None` where nobody knows how many there will be.
    pub fn new(total: Option<usize>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "whoever looks at the line lives in real time")]
        let begun = Instant::now();
        Progress { begun, shown: io::stderr().is_terminal(), state: Mutex::new(State { total, ..State::default() }) }
    }

    /// A run has ended. `text` is what there is to say of it on standard output.
    pub fn ended(&self, failed: bool, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += 1;
        state.failed += usize::from(failed);
        let now = self.begun.elapsed();
        let due = !text.is_empty() || state.written.is_none_or(|written| now.saturating_sub(written) >= EVERY);
        self.show(due, ERASE);
        // Where nobody reads, files and the exit code still tell.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        if due {
            state.written = Some(now);
        }
        self.show(due, &state.line(now));
    }

    fn show(&self, due: bool, text: &str) {
        if due && self.shown {
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.show(true, ERASE);
    }
}

impl State {
    fn line(&self, elapsed: Duration) -> String {
        let State { total, done, failed, .. } = self;
        let of = total.map_or_else(String::new, |total| format!("/{total}"));
        let rate = *done as f64 / elapsed.as_secs_f64().max(0.001);
        format!("{done}{of} runs, {failed} failed, {rate:.1} a second")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_and_how_fast() {
        let state = State { total: Some(1000), done: 42, failed: 1, written: None };
        assert_eq!(state.line(Duration::from_secs(2)), "42/1000 runs, 1 failed, 21.0 a second");
        let state = State { total: None, ..state };
        assert_eq!(state.line(Duration::ZERO), "42 runs, 1 failed, 42000.0 a second");
    }
}
