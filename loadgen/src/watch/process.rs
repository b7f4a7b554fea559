//! Reads from /proc what the proxy's process uses, and how much work a thread of our own had.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the proxy's process used: bytes of resident memory, and open descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyProcess {
    /// Before the load, or behind the warm-up.
    pub memory_begin: u64,
    /// The most.
    pub memory_most: u64,
    /// When it was at rest again.
    pub memory_end: u64,
    /// Before the load.
    pub descriptors_begin: u64,
    /// The most.
    pub descriptors_most: u64,
    /// When it was at rest again.
    pub descriptors_end: u64,
}

/// How much work a thread that made load had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadWork {
    /// The time that it was on a processor.
    pub(crate) on: Duration,
    /// The time that it was ready to run and waited for a processor.
    pub(crate) waited: Duration,
    /// The time from its begin to its end.
    pub(crate) life: Duration,
}

/// Watches the proxy's process during a run.
pub(crate) struct ProcessWatch {
    pid: u32,
    /// Growth of memory counts from then on.
    from: Duration,
    settled: bool,
    seen: ProxyProcess,
}

impl ProcessWatch {
    /// Watches `pid`.
    ///
    /// # Errors
    /// There is none, or it is someone else's.
    pub(crate) fn new(pid: u32, from: Duration) -> Result<Self, String> {
        let (memory, descriptors) =
            usage(pid).ok_or_else(|| format!("--pid {pid}: no process of ours has that number"))?;
        let seen = ProxyProcess {
            memory_begin: memory,
            memory_most: memory,
            memory_end: memory,
            descriptors_begin: descriptors,
            descriptors_most: descriptors,
            descriptors_end: descriptors,
        };
        Ok(ProcessWatch { pid, from, settled: false, seen })
    }

    /// Reads what it uses now, `at` since the run's begin.
    pub(crate) fn look(&mut self, at: Duration) {
        let Some((memory, descriptors)) = usage(self.pid) else { return };
        if !self.settled && at >= self.from {
            self.settled = true;
            if !self.from.is_zero() {
                self.seen.memory_begin = memory;
            }
        }
        self.seen.memory_most = self.seen.memory_most.max(memory);
        self.seen.memory_end = memory;
        self.seen.descriptors_most = self.seen.descriptors_most.max(descriptors);
        self.seen.descriptors_end = descriptors;
    }

    /// Returns what the process used.
    ///
    /// # Errors
    /// The process is gone: it died under the load.
    pub(crate) fn finish(self) -> Result<ProxyProcess, String> {
        match usage(self.pid) {
            Some(_) => Ok(self.seen),
            None => Err(format!("process {} has ended during the run", self.pid)),
        }
    }
}

/// Reads the resident bytes and the open descriptors of a process.
fn usage(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some((kilobytes * 1024, descriptors as u64))
}

/// Says how much work the calling thread had in its life of `life`.
pub(crate) fn thread_work(life: Duration) -> ThreadWork {
    // "Nanoseconds on a processor, nanoseconds of waiting for one, slices" (proc(5)).
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let mut waited = text.split_whitespace().skip(1).map_while(|number| number.parse().ok());
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let on = Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    ThreadWork { on, waited: Duration::from_nanos(waited.next().unwrap_or(0)), life }
}
