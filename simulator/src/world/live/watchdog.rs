//! If the simulator is interrupted, it kills the proxies that it has started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};

/// The children that are running, and the folder of each.
static CHILDREN: Mutex<BTreeMap<i32, (Pid, PathBuf)>> = Mutex::new(BTreeMap::new());

fn children() -> MutexGuard<'static, BTreeMap<i32, (Pid, PathBuf)>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that is killed, and whose folder is removed, when this process is interrupted or told to end.
pub(super) struct Watched(i32);

impl Watched {
    pub(super) fn new(pid: Pid, folder: &Path) -> Self {
        static BEGUN: Once = Once::new();
        let number = pid.as_raw_nonzero().get();
        children().insert(number, (pid, folder.to_owned()));
        BEGUN.call_once(|| {
            // If the thread can't be started, an interrupt simply ends this process, as SIGKILL does whatever we try. A netdrift then
            // ends when it can't write its log any more; another program stays behind.
            let _ = std::thread::Builder::new().name("interrupts".to_owned()).spawn(wait_for_interrupt);
        });
        Watched(number)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        children().remove(&self.0);
    }
}

fn wait_for_interrupt() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let code = runtime.block_on(async {
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return None;
        };
        Some(tokio::select! {
            biased;
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        })
    });
    if let Some(code) = code {
        for (pid, folder) in children().values() {
            // Both fail if the child has ended already, and then nothing has to be done.
            let _ = kill_process_group(*pid, Signal::KILL);
            let _ = std::fs::remove_dir_all(folder);
        }
        std::process::exit(code);
    }
}
