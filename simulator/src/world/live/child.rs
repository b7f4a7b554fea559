//! Runs the proxy's binary as a child process, sends it signals, reads its log, and kills it in the end.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::log::{Heard, Witness};
use super::watchdog::Watched;
use crate::record::Recorder;

/// How many of the last log lines without an event are kept, to be shown if the proxy ends badly.
const REMARKS: usize = 20;

/// Where the proxy of a run reads its configuration.
pub(super) fn config_file(folder: &Path) -> PathBuf {
    folder.join("proxy.json")
}

/// The name of the file in which the proxy writes its process id.
pub(super) fn pid_file(folder: &Path) -> PathBuf {
    folder.join("proxy.pid")
}

/// A process of the proxy, and those that it has started. They are killed when this is dropped.
pub(super) struct ProxyChild {
    child: RefCell<Child>,
    pid: Pid,
    folder: PathBuf,
    recorder: Recorder,
    heard: Arc<State>,
    reader: Option<JoinHandle<()>>,
    /// Why its end is expected, if it is.
    ending: Ending,
    /// How many descriptors it held when it had started.
    at_start: Option<usize>,
    /// Whether it is a netdrift, of which more is known than of another program.
    tells: bool,
    _watched: Watched,
}

/// Why a process ends, or has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Nobody told it to end.
    None,
    Terminated,
    Killed,
    /// It ended by itself.
    Died,
}

/// What its log has said so far.
#[derive(Default)]
struct State {
    ready: AtomicBool,
    reloads: AtomicUsize,
    /// Panics and lines that could not be read.
    panics: Mutex<Vec<String>>,
    remarks: Mutex<Vec<String>>,
}

impl ProxyChild {
    /// Starts a proxy with `command` in `folder`. `witness` reads its log, if that tells anything.
    pub(super) fn start(
        mut command: Command,
        folder: &Path,
        recorder: &Recorder,
        witness: Option<Witness>,
    ) -> io::Result<Self> {
        let mut child = command
            .env_remove("PROXY_CONFIG")
            .env("NO_COLOR", "1")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A signal from the terminal must reach the simulator alone, which then ends the proxy.
            .process_group(0)
            .spawn()?;
        let pid = Pid::from_child(&child);
        let watched = Watched::new(pid, folder);
        let stderr = child.stderr.take();
        let heard = Arc::<State>::default();
        let recorder = recorder.for_what_is_left();
        let tells = witness.is_some();
        let mut process = ProxyChild {
            child: RefCell::new(child),
            pid,
            folder: folder.to_owned(),
            recorder,
            heard: Arc::clone(&heard),
            reader: None,
            ending: Ending::None,
            at_start: None,
            tells,
            _watched: watched,
        };
        if let Some(stderr) = stderr {
            let read = move || heard.read(stderr, witness.as_ref());
            process.reader = Some(std::thread::Builder::new().name("proxy-log".to_owned()).spawn(read)?);
        }
        Ok(process)
    }

    pub(super) fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Whether its log has said that it listens.
    pub(super) fn is_ready(&self) -> bool {
        self.heard.ready.load(Ordering::Acquire)
    }

    /// Notes that it listens.
    pub(super) fn note_ready(&self) {
        self.heard.ready.store(true, Ordering::Release);
    }

    /// How many reloads have ended, whether the proxy has taken the configuration or refused it.
    pub(super) fn reloads(&self) -> usize {
        self.heard.reloads.load(Ordering::Acquire)
    }

    pub(super) fn panics(&self) -> Vec<String> {
        self.heard.panics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid, signal)?)
    }

    /// Notes that it is told to stop.
    pub(super) fn note_stop(&mut self) {
        self.ending = Ending::Terminated;
    }

    /// Kills it and the processes that it has started, and reads its log to the end.
    pub(super) fn kill(&mut self) {
        self.ending = Ending::Killed;
        // Both fail only if it has ended already.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = self.child.get_mut().wait();
        self.read_to_end();
    }

    fn status(&self) -> Option<ExitStatus> {
        self.child.borrow_mut().try_wait().ok().flatten()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.status().is_some()
    }

    /// The last lines of its log, if it has ended without being told to. They are returned once.
    pub(super) fn died(&mut self) -> Option<String> {
        let status = self.status().filter(|_| self.ending == Ending::None)?;
        self.ending = Ending::Died;
        self.read_to_end();
        let remarks = self.heard.remarks.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
        Some(format!("the proxy ended by itself ({status}): {remarks}"))
    }

    pub(super) fn is_dead(&self) -> bool {
        self.ending == Ending::Died
    }

    /// Notes how many descriptors it holds at its start. If an earlier process held fewer, that number counts, since this one may
    /// already have connections.
    pub(super) fn note_descriptors(&mut self, earlier: Option<usize>) {
        self.at_start = self.descriptors().into_iter().chain(earlier).min();
    }

    pub(super) fn at_start(&self) -> Option<usize> {
        self.at_start
    }

    /// How many descriptors it holds beyond those that it held at its start.
    pub(super) fn more_descriptors(&self) -> usize {
        let (now, then) = (self.descriptors(), self.at_start);
        now.zip(then).map_or(0, |(now, then)| now.saturating_sub(then))
    }

    /// How many descriptors it holds. Pipes don't count, because relays keep a bounded number of them. `None` if it has ended or the
    /// system can't tell.
    fn descriptors(&self) -> Option<usize> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid.as_raw_nonzero())).ok()?;
        let leads_to_pipe =
            |path: PathBuf| std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("pipe:"));
        Some(open.flatten().filter(|one| !leads_to_pipe(one.path())).count())
    }

    /// How many processes have not ended that it has started, or that these have, as far as they have stayed in its group.
    pub(super) fn group(&self) -> usize {
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let stats = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        stats.filter(|stat| runs_in_group(stat, self.pid)).count()
    }

    /// Kills it if it still runs, and says what is wrong with how it ended.
    pub(super) fn remains(&mut self) -> Vec<String> {
        let mut remains = Vec::new();
        match (self.status(), self.ending) {
            (None, _) => remains.push("the proxy's process has not ended".to_owned()),
            (Some(status), Ending::Terminated) if self.tells && !status.success() => {
                remains.push(format!("the proxy was told to stop and ended with {status}"));
            }
            (Some(_), Ending::Terminated) if pid_file(&self.folder).exists() => {
                remains.push("the proxy has left its PID file".to_owned());
            }
            _ => {}
        }
        let more = self.group();
        if self.has_ended() && self.ending == Ending::Terminated && more > 0 {
            remains.push(format!("the proxy has ended, and {more} processes that it has started have not"));
        }
        let ending = self.ending;
        self.kill();
        self.ending = ending;
        remains
    }

    /// The pipe ends with the process, so no line is lost.
    fn read_to_end(&mut self) {
        if let Some(reader) = self.reader.take() {
            // It panics only if the trace can't be written, and then the run fails anyway.
            let _ = reader.join();
        }
    }
}

/// Whether a process runs and belongs to the group of `leader`, by what the system says in its file `stat` (proc_pid_stat(5)). The name in
/// parentheses may hold anything.
fn runs_in_group(stat: &str, leader: Pid) -> bool {
    let Some((_, fields)) = stat.rsplit_once(')') else { return false };
    let mut fields = fields.split_whitespace();
    let runs = fields.next().is_some_and(|state| !matches!(state, "Z" | "X"));
    let group = fields.nth(1).and_then(|text| text.parse::<i32>().ok());
    runs && group == Some(leader.as_raw_nonzero().get())
}

impl Drop for ProxyChild {
    fn drop(&mut self) {
        self.kill();
    }
}

impl State {
    /// Another program may write anything, which is no event and no panic.
    fn read(&self, stderr: ChildStderr, witness: Option<&Witness>) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            match witness.map_or(Heard::Remark, |witness| witness.hear(&line)) {
                Heard::Started => self.ready.store(true, Ordering::Release),
                Heard::Reloaded => {
                    self.reloads.fetch_add(1, Ordering::Release);
                }
                Heard::Event => {}
                Heard::Garbled(why) => self.panic(format!("a line of the proxy's log is {why}")),
                Heard::Remark => {
                    if witness.is_some() && line.contains("panicked at") {
                        self.panic(format!("the proxy: {line}"));
                    }
                    let mut remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
                    if remarks.len() == REMARKS {
                        remarks.remove(0);
                    }
                    remarks.push(line);
                }
            }
        }
    }

    fn panic(&self, text: String) {
        self.panics.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_group_and_one_that_has_ended_counts_no_more() {
        let leader = Pid::from_raw(7).unwrap();
        for (stat, counts) in [
            ("9 (a) S 1 7 7 0", true),
            ("9 (a) 9) R 1 7 7 0", true),
            ("9 (a) Z 1 7 7 0", false),
            ("9 (a) S 7 8 8 0", false),
            ("", false),
        ] {
            assert_eq!(runs_in_group(stat, leader), counts, "{stat}");
        }
    }
}
