//! Reads from `/proc` what this process takes of the machine.

use std::fs;
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};

use super::descriptors::nofile;
use crate::env::ProcessFigures;

/// What this process takes; `None` on a system without `/proc`.
pub(super) fn figures() -> Option<ProcessFigures> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold anything. Behind it, by proc(5): utime and stime are the 12th and 13th word, and rss,
    // in pages, is the 22nd.
    let words: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let number = |place: usize| words.get(place)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)?;
    Some(ProcessFigures {
        cpu: Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second().max(1) as f64),
        memory: number(21)? * page_size() as u64,
        descriptors: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        descriptor_limit: nofile(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_takes_something_of_each() {
        let figures = figures().unwrap();
        assert!(figures.memory > 100_000, "{figures:?}");
        assert!((3..figures.descriptor_limit).contains(&figures.descriptors), "{figures:?}");
    }
}
