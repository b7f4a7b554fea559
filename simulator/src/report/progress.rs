//! Shows on the terminal how many runs have ended.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The line is written no more often, unless there is something else to say; where it only makes a log longer, less often.
const EVERY: Duration = Duration::from_millis(100);
const LOGGED_EVERY: Duration = Duration::from_secs(10);
/// Back to the begin of the line, and nothing of it is left.
const ERASE: &str = "\r\u{1b}[K";

/// A line on standard error that tells of runs: on a terminal written over again and again, and gone at the end.
pub struct Progress {
    begun: Instant,
    output: Output,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Terminal,
    /// A new line each time.
    Log,
    Silent,
}

#[derive(Default)]
struct State {
    total: Option<u64>,
    done: u64,
    failed: u64,
    written: Duration,
}

impl Progress {
    /// Of `total` runs; `None` where nobody knows how many there will be. Silent where standard error is no terminal.
    pub fn new(total: Option<u64>) -> Self {
        Self::of_output(total, Output::Silent)
    }

    /// The same for what lasts long: where standard error is no terminal, a line now and then.
    pub fn logged(total: Option<u64>) -> Self {
        Self::of_output(total, Output::Log)
    }

    fn of_output(total: Option<u64>, elsewhere: Output) -> Self {
        #[expect(clippy::disallowed_methods, reason = "whoever looks at the line lives in real time")]
        let begun = Instant::now();
        let output = if io::stderr().is_terminal() { Output::Terminal } else { elsewhere };
        Progress { begun, output, state: Mutex::new(State { total, ..State::default() }) }
    }

    /// A run has ended. `text` is what there is to say of it on standard output.
    pub fn ended(&self, failed: bool, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += 1;
        state.failed += u64::from(failed);
        let now = self.begun.elapsed();
        let every = if self.output == Output::Terminal { EVERY } else { LOGGED_EVERY };
        let due = now.saturating_sub(state.written) >= every;
        let over = self.output == Output::Terminal && (due || !text.is_empty());
        if over {
            show(ERASE);
        }
        // Where nobody reads, files and the exit code still tell.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        if over || (due && self.output == Output::Log) {
            state.written = now;
            show(&state.line(now));
        }
        if due && self.output == Output::Log {
            show("\n");
        }
    }
}

fn show(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.output == Output::Terminal {
            show(ERASE);
        }
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
        let state = State { total: Some(1000), done: 42, failed: 1, written: Duration::ZERO };
        assert_eq!(state.line(Duration::from_secs(2)), "42/1000 runs, 1 failed, 21.0 a second");
        let state = State { total: None, ..state };
        assert_eq!(state.line(Duration::ZERO), "42 runs, 1 failed, 42000.0 a second");
    }
}
