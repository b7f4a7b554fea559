//! Starts the process that takes over from this one: the program at the path that this one was started by, which may be a newer
//! one by now.

use std::future::pending;
use std::io;
use std::process::ExitStatus;

use tokio::process::{Child, Command};

use crate::daemon::cli::TAKE_OVER;
use crate::daemon::service_manager::WATCHDOG_PID;

/// The process that was started to take over, if any.
#[derive(Debug, Default)]
pub(super) struct Successor(Option<Child>);

impl Successor {
    /// Starts one with this process's arguments, and [`TAKE_OVER`].
    ///
    /// # Errors
    /// One runs already, or the program can't be started.
    pub(super) fn start(&mut self) -> io::Result<u32> {
        if self.0.is_some() {
            return Err(io::Error::other("one is starting already"));
        }
        let mut args = std::env::args_os();
        let program = args.next().ok_or_else(|| io::Error::other("this process does not know its own name"))?;
        let mut command = Command::new(program);
        command.args(args.filter(|arg| arg != TAKE_OVER)).arg(TAKE_OVER);
        // The watchdog waits for this process by its number, and for the next one once that is the main one.
        command.env_remove(WATCHDOG_PID);
        let child = command.spawn()?;
        let id = child.id().unwrap_or_default();
        self.0 = Some(child);
        Ok(id)
    }

    /// Waits until it has ended, which it should not before this process has. Cancel safe.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        match &mut self.0 {
            Some(child) => {
                let status = child.wait().await;
                self.0 = None;
                status
            }
            None => pending().await,
        }
    }
}
