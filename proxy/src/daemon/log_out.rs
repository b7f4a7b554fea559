//! Where the lines of the log go: to standard error, or to a file that can be opened again.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use tracing::warn;

/// What the log is written to.
pub(super) enum LogOut {
    Stderr(Stderr),
    File(LogFile),
}

impl LogOut {
    /// The file at `path`, else standard error.
    ///
    /// # Errors
    /// A sentence: it can't be had.
    pub(super) fn open(path: Option<&Path>, reopen: &Reopen) -> Result<Self, String> {
        let failed = |error: io::Error| format!("the log can't be written: {error}");
        match path {
            None => Ok(LogOut::Stderr(Stderr(File::from(io::stderr().as_fd().try_clone_to_owned().map_err(failed)?)))),
            Some(path) => {
                let file = append(path).map_err(|error| format!("logging.file: {}: {error}", path.display()))?;
                Ok(LogOut::File(LogFile { path: path.to_owned(), file, reopen: reopen.clone(), between: true }))
            }
        }
    }
}

impl Write for LogOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            LogOut::Stderr(out) => out.write(bytes),
            LogOut::File(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            LogOut::Stderr(out) => out.flush(),
            LogOut::File(out) => out.flush(),
        }
    }
}

/// Standard error without the lock of [`std::io::stderr`]: whoever else writes there must not wait for a log that stands
/// still.
pub(super) struct Stderr(File);

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                // Whoever started us may have made it so; its other holders see the same flag.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks for the file to be opened again.
#[derive(Clone, Debug, Default)]
pub(super) struct Reopen(Arc<AtomicBool>);

impl Reopen {
    /// In front of the next lines that are written.
    pub(super) fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn asked(&self) -> bool {
        self.0.swap(false, Ordering::Acquire)
    }
}

/// A file that lines are appended to.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    reopen: Reopen,
    /// Whole lines have been written so far.
    between: bool,
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.between && self.reopen.asked() {
            match append(&self.path) {
                Ok(file) => self.file = file,
                Err(error) => {
                    warn!("the log's file {} can't be opened again, the old one stays: {error}", self.path.display());
                }
            }
        }
        self.between = false;
        self.file.write(bytes)
    }

    /// Called behind whole lines.
    fn flush(&mut self) -> io::Result<()> {
        self.between = true;
        Ok(())
    }
}

/// Opens a file for lines to be appended; a new one is for its owner and group.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open(path: &Path, reopen: &Reopen) -> LogOut {
        LogOut::open(Some(path), reopen).unwrap()
    }

    fn line(out: &mut LogOut, text: &str) {
        out.write_all(text.as_bytes()).unwrap();
        out.flush().unwrap();
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_again_between_lines() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        fs::write(&path, "before\n").unwrap();
        let reopen = Reopen::default();
        let mut out = open(&path, &reopen);
        line(&mut out, "one\n");
        fs::rename(&path, &old).unwrap();
        line(&mut out, "two\n");
        // Half a line: the other half belongs behind it.
        out.write_all(b"thr").unwrap();
        reopen.ask();
        line(&mut out, "ee\n");
        line(&mut out, "four\n");
        line(&mut out, "five\n");
        assert_eq!(fs::read_to_string(&old).unwrap(), "before\none\ntwo\nthree\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\nfive\n");
    }

    #[test]
    fn where_it_cannot_be_opened_again_the_old_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let reopen = Reopen::default();
        let mut out = open(&path, &reopen);
        fs::rename(&path, &old).unwrap();
        fs::create_dir(&path).unwrap();
        reopen.ask();
        line(&mut out, "kept\n");
        assert_eq!(fs::read_to_string(&old).unwrap(), "kept\n");
        let refused = LogOut::open(Some(&path), &reopen).err().unwrap();
        assert!(refused.starts_with(&format!("logging.file: {}: ", path.display())), "{refused}");
    }
}
