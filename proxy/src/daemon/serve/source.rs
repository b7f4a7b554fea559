//! Keeps track of the configuration's files, and puts what they say in force.

use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::config::{self, Config, Files, Loaded, Problems};
use crate::daemon::control::Answer;
use crate::daemon::service_manager::ServiceManager;
use crate::daemon::watch::Changes;
use crate::env::os::Os;
use crate::proxy::{Proxy, Reloaded};

/// Where the configuration comes from, and what it was made of when it was last read.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    files: Files,
    changes: Changes,
    /// Whether the files are looked at unasked.
    is_watched: bool,
}

impl Source {
    /// Watches the `files` that the configuration at `path` was read from.
    pub(super) fn watch(path: &Path, files: Files) -> Self {
        let changes = Changes::watch(&files.paths());
        // The files may have changed since they were read.
        changes.touch();
        if let Some(reason) = changes.fallback_reason() {
            warn!("files are looked at every few seconds only: {reason}");
        }
        let is_watched = is_watchable(&files);
        Source { path: path.to_owned(), files, changes, is_watched }
    }

    /// Waits until a file may have changed. Cancel safe.
    pub(super) async fn changed(&mut self) {
        if !self.is_watched {
            return pending().await;
        }
        self.changes.next().await;
    }

    /// Reads the configuration and puts it in force. Unless it was `asked` for, it does so only if the bytes of a
    /// file have changed, and returns `None` if they have not: notifications come for many reasons. The `manager` is told.
    pub(super) async fn reload(&mut self, proxy: &Proxy<Os>, asked: bool, manager: &ServiceManager) -> Option<Answer> {
        let path = self.path.clone();
        #[expect(clippy::disallowed_methods, reason = "files are read off the runtime; nothing here is simulated")]
        let read = tokio::task::spawn_blocking(move || config::load(&path));
        let Loaded { outcome, files } = match read.await {
            Ok(loaded) => loaded,
            Err(error) => return Some(Answer::Error { error: error.to_string() }),
        };
        if !asked && files == self.files {
            return None;
        }
        if files.paths() != self.files.paths() {
            self.changes.set_paths(&files.paths());
            self.changes.touch();
            self.is_watched = is_watchable(&files);
        }
        self.files = files;
        manager.reloading();
        let answer = self.put_in_force(outcome, proxy);
        manager.ready(&status(proxy));
        Some(answer)
    }

    fn put_in_force(&self, outcome: Result<Config, Problems>, proxy: &Proxy<Os>) -> Answer {
        let config = match outcome {
            Ok(config) => config,
            Err(problems) => {
                let problems = problems.to_string();
                proxy.refuse_reload(&problems);
                return Answer::Refused { problems };
            }
        };
        for warning in &config.warnings {
            warn!("{}: {warning}", self.path.display());
        }
        let warnings = config.warnings.clone();
        match proxy.reload(config) {
            Ok(Reloaded { config_epoch, changes, restart_required }) => {
                Answer::Reloaded { config_epoch, changes, restart_required, warnings }
            }
            // The proxy itself has told of it.
            Err(error) => Answer::Refused { problems: error.to_string() },
        }
    }
}

/// Whether all of `files` can be read again whenever they may have changed. A pipe (`--config <(…)`) gives its bytes once, and keeps
/// whoever reads it waiting for a writer.
fn is_watchable(files: &Files) -> bool {
    let is_other = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| !found.is_file());
    let Some(path) = files.paths().into_iter().find(is_other) else { return true };
    warn!("files are read again only when asked for: {} is no regular file", path.display());
    false
}

/// What the service manager is told of a proxy that serves, for people.
pub(super) fn status(proxy: &Proxy<Os>) -> String {
    let health = proxy.health();
    let refused = if health.reload_failed { "; the last reload was refused, the log says why" } else { "" };
    format!("Serving on {} with configuration {}{refused}", proxy.local_addr(), health.config_epoch)
}
