//! Writes and removes PID files, which hold the id of this process and nothing else.
//!
//! A file that names another process is replaced only if that process is gone. Only the process that a file names
//! removes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};

/// A PID file of this process. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the id of this process to `path`.
    ///
    /// # Errors
    /// The file names another process that runs, or can't be written.
    pub(crate) fn claim(path: &Path) -> io::Result<Self> {
        if let Some(pid) = named(path).filter(|pid| *pid != own() && is_alive(*pid)) {
            let text = format!("{}: process {pid} is running; stop it or choose another --pid-dir", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        // The file is written aside and moved into place: it is never half written, and a link at `path` is replaced
        // instead of followed.
        let aside = path.with_extension(format!("pid.{}", own()));
        let write = fs::write(&aside, format!("{}\n", own())).and_then(|()| fs::rename(&aside, path));
        match write {
            Ok(()) => Ok(PidFile(path.to_owned())),
            Err(error) => {
                // It may not exist, so a failure to remove it means nothing.
                let _ = fs::remove_file(&aside);
                Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if named(&self.0) == Some(own()) {
            // A file that stays is harmless: the next start finds that its process is gone.
            let _ = fs::remove_file(&self.0);
        }
    }
}

fn own() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

fn named(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn is_alive(pid: i32) -> bool {
    // Not being permitted to signal it means that it exists.
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("mock-pidfile-{}-{name}", own()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_stale_file_is_replaced_and_removed_at_the_end() {
        let directory = directory("stale");
        let path = directory.join("a.pid");
        // Larger than any process id Linux gives out.
        fs::write(&path, "2147483646\n").unwrap();
        let file = PidFile::claim(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", own()));
        drop(file);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir(&directory).unwrap();
    }

    #[test]
    fn the_file_of_a_live_process_is_left_alone() {
        let directory = directory("live");
        let path = directory.join("a.pid");
        fs::write(&path, "1\n").unwrap();
        let error = PidFile::claim(&path).unwrap_err();
        assert!(error.to_string().contains("process 1 is running"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_file_that_names_another_process_by_now_is_not_removed() {
        let directory = directory("taken");
        let path = directory.join("a.pid");
        let file = PidFile::claim(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        fs::remove_dir_all(&directory).unwrap();
    }
}
