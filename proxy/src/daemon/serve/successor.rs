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

    /// Tells whoever asked, if anybody did, that process `to` serves in this one's place.
    pub(super) async fn took_over(self, to: i32) {
        if let Some((_, asked)) = self.0 {
            asked.told(Answer::Upgraded { pid: to }).await;
        }
    }
}
