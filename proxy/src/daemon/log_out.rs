//! Where the lines of the log go: to standard error, to a file that can be opened again, or to a syslog daemon.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tracing::warn;

use crate::config::LogTo;
use crate::daemon::log_line::Framing;

/// What the log is written to.
pub(super) enum LogOut {
    Stderr(Stderr),
    File(LogFile),
    Syslog(Syslog),
}

impl LogOut {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// A sentence: it can't be had.
    pub(super) fn open(to: &LogTo, reopen: &Reopen) -> Result<Self, String> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| format!("logging: {path}: {error}")
        };
        Ok(match to {
            LogTo::Stderr => {
                let stderr = io::stderr().as_fd().try_clone_to_owned();
                let stderr = stderr.map_err(|error| format!("the log can't be written: {error}"))?;
                LogOut::Stderr(Stderr(stderr.into()))
            }
            LogTo::File(path) => {
                let file = append(path).map_err(failed(path))?;
                LogOut::File(LogFile { path: path.clone(), file, reopen: reopen.clone(), between: true })
            }
            LogTo::Syslog(path) => {
                let socket = connect(path).map_err(failed(path))?;
                LogOut::Syslog(Syslog { path: path.clone(), socket })
            }
        })
    }
}

impl Write for LogOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            LogOut::Stderr(out) => out.write(bytes),
            LogOut::File(out) => out.write(bytes),
            LogOut::Syslog(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            LogOut::Stderr(out) => out.flush(),
            LogOut::File(out) => out.flush(),
            // Each datagram is on its way.
            LogOut::Syslog(_) => Ok(()),
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

/// What is left of a line that is too long for a datagram: what most syslog daemons keep of one.
const LONG_LINE: usize = 8 * 1024;

/// A syslog daemon: each line is a datagram.
pub(super) struct Syslog {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Syslog {
    /// Sends the first of `lines`, each of which ends in NUL, and returns the bytes that it takes. Waits for a daemon that is
    /// slow: the queue is where lines are dropped.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let end = lines.iter().position(|byte| *byte == Framing::Syslog.end()).unwrap_or(lines.len());
        let line = lines.get(..end).unwrap_or(lines);
        if self.send(line).is_err() {
            // The daemon that starts anew has another socket.
            self.socket = connect(&self.path)?;
            self.send(line)?;
        }
        Ok(lines.len().min(end + 1))
    }

    fn send(&self, line: &[u8]) -> io::Result<()> {
        match self.socket.send(line) {
            Err(error) if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {
                self.socket.send(line.get(..LONG_LINE).unwrap_or(line)).map(drop)
            }
            sent => sent.map(drop),
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open(path: &Path, reopen: &Reopen) -> LogOut {
        LogOut::open(&LogTo::File(path.to_owned()), reopen).unwrap()
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
        let refused = LogOut::open(&LogTo::File(path.clone()), &reopen).err().unwrap();
        assert!(refused.starts_with(&format!("logging: {}: ", path.display())), "{refused}");
    }

    #[test]
    fn syslog_gets_a_datagram_for_each_line_also_once_it_has_started_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let received = |daemon: &UnixDatagram| {
            let mut bytes = vec![0; 300_000];
            let count = daemon.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..count].to_vec()).unwrap()
        };
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut out = LogOut::open(&LogTo::Syslog(path.clone()), &Reopen::default()).unwrap();
        line(&mut out, "<30>one\0<28>two\nlines\0");
        assert_eq!((received(&daemon), received(&daemon)), ("<30>one".to_owned(), "<28>two\nlines".to_owned()));
        drop(daemon);
        fs::remove_file(&path).unwrap();
        assert!(out.write_all(b"<30>lost\0").is_err(), "for the queue to count");
        let daemon = UnixDatagram::bind(&path).unwrap();
        line(&mut out, &format!("<30>{}\0<30>again\0", "x".repeat(1_000_000)));
        assert_eq!(received(&daemon).len(), LONG_LINE);
        assert_eq!(received(&daemon), "<30>again");
    }
}
