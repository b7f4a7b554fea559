//! Starts the process that takes over from this one: the program at the path that this one was started by, which may be a newer
//! one by now.

use std::future::pending;
use std::io;

use tokio::process::{Child, Command};
use tracing::{info, warn};

use crate::daemon::cli::TAKE_OVER;
use crate::daemon::control::{Answer, PendingUpgrade};
use crate::daemon::service_manager::WATCHDOG_PID;

/// The process that was started to take over, if any, and who waits for what comes of it.
#[derive(Debug, Default)]
pub(super) struct Successor(Option<(Child, PendingUpgrade)>);

impl Successor {
    /// Starts one with this process's arguments, and [`TAKE_OVER`]. Whoever asked is told what comes of it.
    pub(super) fn start(&mut self, asked: PendingUpgrade) {
        if let Some((child, _)) = &self.0 {
            let pid = child.id().unwrap_or_default();
            return asked.answer(Answer::Error { error: format!("process {pid} was started to take over already") });
        }
        match Self::spawn() {
            Ok(child) => {
                let pid = child.id().unwrap_or_default();
                info!(pid, event = "successor_started", "process {pid} was started to take over");
                self.0 = Some((child, asked));
            }
            Err(error) => {
                warn!("no process can be started to take over: {error}");
                asked.answer(Answer::Error { error: format!("no process can be started to take over: {error}") });
            }
        }
    }

    fn spawn() -> io::Result<Child> {
        outlives(std::process::id())?;
        let mut args = std::env::args_os();
        let program = args.next().ok_or_else(|| io::Error::other("this process does not know its own name"))?;
        let mut command = Command::new(program);
        command.args(args.filter(|arg| arg != TAKE_OVER)).arg(TAKE_OVER);
        // The watchdog waits for this process by its number, and for the next one once that is the main one.
        command.env_remove(WATCHDOG_PID);
        command.spawn()
    }

    /// Waits until it has ended, which it should not before this process has, and tells of it. Cancel safe.
    pub(super) async fn ended(&mut self) {
        let Some((child, _)) = &mut self.0 else { return pending().await };
        let how = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        warn!("the process that was to take over has ended ({how}); this one serves on");
        if let Some((_, asked)) = self.0.take() {
            let error = format!("the process that was to take over has ended ({how}); its log says why");
            asked.answer(Answer::Error { error });
        }
    }

    /// Tells whoever asked, if anybody did, that process `to` serves in this one's place: the one that was started, or another
    /// that came before it.
    pub(super) async fn took_over(self, to: i32) {
        let Some((child, asked)) = self.0 else { return };
        let started = child.id().and_then(|id| i32::try_from(id).ok());
        let answer = if started == Some(to) {
            Answer::Upgraded { pid: to }
        } else {
            Answer::Error { error: format!("process {to} has taken over, which was started by somebody else") }
        };
        asked.told(answer).await;
    }
}

/// Whether a process that this one starts goes on when this one, of number `me`, ends.
fn outlives(me: u32) -> io::Result<()> {
    // The kernel ends all that runs in a container with its first process.
    let ends_all = me == 1;
    let why =
        "this is the first process of its container, which ends with it; start another container of the new version";
    if ends_all { Err(io::Error::other(why)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_of_a_container_is_not_upgraded_since_the_next_one_would_end_with_it() {
        let error = outlives(1).unwrap_err();
        assert!(error.to_string().contains("start another container"), "{error}");
        assert!(outlives(2).is_ok());
    }
}
