//! Claims the file of the control socket, takes it over from a dead process, and removes it, by the rule of the PID file.
//!
//! A socket can't be locked, so a PID file beside it is (`proxy.sock.lock`): *only who holds that lock may replace or
//! remove the socket.* So of two starts at once one is refused, and a crash lets go of it. bind(2) never follows a link.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::daemon::pidfile::{PidFile, PidFileError, stands_at};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 16;

/// Our control socket; dropping it removes the file if it is still ours.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
    /// Device and inode of the file that we bound.
    file: (u64, u64),
    /// Held while we run, and let go of behind the socket.
    lock: PidFile,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlSocketError {
    /// Another process answers there.
    #[error(
        "{}: another running process has this control socket{}; give this proxy a server.control_socket of its own",
        path.display(),
        pid.map_or(String::new(), |pid| format!(" (process {pid})"))
    )]
    InUse {
        /// The socket.
        path: PathBuf,
        /// Who, where it is known.
        pid: Option<rustix::process::Pid>,
    },
    /// A file, folder or symbolic link: not ours to replace.
    #[error("{}: is not a socket; links are not followed, and nothing else is replaced", path.display())]
    NotASocket {
        /// What stands there.
        path: PathBuf,
    },
    /// The lock beside the socket can't be had.
    #[error("the lock of the control socket: {0}")]
    Lock(PidFileError),
    /// The system refused.
    #[error("{}: can't {doing} the control socket: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl ControlSocket {
    /// Listens at `path`, for this user and root alone. A socket that a crash left behind is replaced; its folder must
    /// exist.
    ///
    /// # Errors
    /// [`ControlSocketError::InUse`] where another process listens there; anything at `path` that is no socket is
    /// refused and left alone; else what the system says, of a path of more than 107 bytes among it.
    pub fn create(path: &Path) -> Result<ControlSocket, ControlSocketError> {
        let lock = PidFile::create(&lock_path(path)).map_err(|error| not_locked(path, error))?;
        remove_stale(path)?;
        let listener = bind(path).map_err(failed(path, "create"))?;
        ControlSocket::at(path, listener, lock)
    }

    /// Listens at `path` in place of the process that handed its lock over. There is a socket at the path all the while: a
    /// question that comes is answered by one of the two. Where that process has its socket elsewhere, this is
    /// [`ControlSocket::create`].
    ///
    /// # Errors
    /// Those of [`ControlSocket::create`].
    pub fn take_over(path: &Path, handed: OwnedFd) -> Result<ControlSocket, ControlSocketError> {
        let lock_path = lock_path(path);
        let handed = File::from(handed);
        if !stands_at(&handed, &lock_path) {
            return ControlSocket::create(path);
        }
        let lock = PidFile::take_over(&lock_path, handed).map_err(|error| not_locked(path, error))?;
        // Shorter than most names, since a path of a socket may have no more than 107 bytes.
        let draft = path.with_file_name(format!(".{}", std::process::id()));
        // One that an earlier process of this number left behind; bind(2) tells of anything else.
        let _ = fs::remove_file(&draft);
        let listener = bind(&draft).map_err(failed(path, "create"))?;
        fs::rename(&draft, path).map_err(failed(path, "replace"))?;
        ControlSocket::at(path, listener, lock)
    }

    fn at(path: &Path, listener: UnixListener, lock: PidFile) -> Result<ControlSocket, ControlSocketError> {
        let file = fs::symlink_metadata(path).map_err(failed(path, "find"))?;
        Ok(ControlSocket { path: path.to_owned(), listener, file: (file.dev(), file.ino()), lock })
    }

    /// The lock, for a process that takes over.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn lock(&self) -> io::Result<OwnedFd> {
        self.lock.share()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The listening socket, for the runtime that serves it.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let ours = |file: fs::Metadata| (file.dev(), file.ino()) == self.file;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            // Whoever finds it later finds nobody behind it, and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where the lock of the socket at `path` is.
fn lock_path(path: &Path) -> PathBuf {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    lock.into()
}

fn not_locked(path: &Path, error: PidFileError) -> ControlSocketError {
    match error {
        PidFileError::AlreadyRunning { pid, .. } => ControlSocketError::InUse { path: path.to_owned(), pid },
        error => ControlSocketError::Lock(error),
    }
}

/// Removes a socket that nobody listens to.
fn remove_stale(path: &Path) -> Result<(), ControlSocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(path, "find")(source)),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(ControlSocketError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    let connected = unconnected().and_then(|socket| rustix::net::connect(&socket, &SocketAddrUnix::new(path)?));
    match connected {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(failed(path, "replace")),
        // AGAIN: its queue is full. Whoever it is holds no lock of ours.
        Ok(()) | Err(Errno::AGAIN) => Err(ControlSocketError::InUse { path: path.to_owned(), pid: None }),
        Err(error) => Err(failed(path, "reach")(error.into())),
    }
}

/// A socket that never waits.
fn unconnected() -> rustix::io::Result<rustix::fd::OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = unconnected()?;
    // The file that bind(2) makes has the mode of the socket, so that it is never open to others, not for a moment.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> ControlSocketError {
    move |source| ControlSocketError::Io { path: path.to_owned(), doing, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixStream;
    use std::sync::Barrier;

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        (folder, path)
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A socket that a dead process left behind.
    fn leave_stale(path: &Path) {
        drop(UnixListener::bind(path).unwrap());
        assert!(path.exists());
    }

    #[test]
    fn is_for_its_owner_alone_and_goes_with_it() {
        let (folder, path) = folder();
        let socket = ControlSocket::create(&path).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn whoever_was_handed_the_lock_takes_its_place_and_keeps_it() {
        let (folder, path) = folder();
        let first = ControlSocket::create(&path).unwrap();
        let second = ControlSocket::take_over(&path, first.lock().unwrap()).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(first);
        assert_eq!(
            names(folder.path()),
            ["proxy.sock", "proxy.sock.lock"],
            "no draft is left, nothing of ours removed"
        );
        let _asked = UnixStream::connect(&path).unwrap();
        second.listener().unwrap().accept().unwrap();
        assert!(ControlSocket::create(&path).is_err());
        drop(second);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn a_lock_of_another_socket_opens_no_way_to_this_one() {
        let (folder, path) = folder();
        let other = ControlSocket::create(&folder.path().join("other.sock")).unwrap();
        let first = ControlSocket::create(&path).unwrap();
        assert!(matches!(
            ControlSocket::take_over(&path, other.lock().unwrap()),
            Err(ControlSocketError::InUse { .. })
        ));
        drop(first);
        ControlSocket::take_over(&path, other.lock().unwrap()).unwrap();
    }

    #[test]
    fn one_left_by_a_crash_is_replaced() {
        let (_folder, path) = folder();
        leave_stale(&path);
        let _socket = ControlSocket::create(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_second_start_is_refused_and_harms_nothing() {
        let (folder, path) = folder();
        let first = ControlSocket::create(&path).unwrap();
        let error = ControlSocket::create(&path).unwrap_err();
        assert!(error.to_string().contains(&format!("(process {})", std::process::id())), "{error}");
        UnixStream::connect(first.path()).unwrap();
        assert_eq!(names(folder.path()), ["proxy.sock", "proxy.sock.lock"]);
    }

    #[test]
    fn one_that_another_program_listens_to_is_left_alone() {
        let (folder, path) = folder();
        let _other = UnixListener::bind(&path).unwrap();
        let error = ControlSocket::create(&path).unwrap_err();
        assert!(matches!(error, ControlSocketError::InUse { pid: None, .. }), "{error}");
        UnixStream::connect(&path).unwrap();
        assert_eq!(names(folder.path()), ["proxy.sock"], "no lock is left");
    }

    #[test]
    fn of_many_starts_at_once_exactly_one_wins() {
        const STARTS: usize = 8;
        for stale in [false, true].into_iter().cycle().take(50) {
            let (folder, path) = folder();
            if stale {
                leave_stale(&path);
            }
            let barrier = Barrier::new(STARTS);
            let results: Vec<_> = std::thread::scope(|scope| {
                let start = || {
                    barrier.wait();
                    ControlSocket::create(&path)
                };
                let threads: Vec<_> = (0..STARTS).map(|_| scope.spawn(start)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
            UnixStream::connect(&path).unwrap();
            drop(results);
            assert_eq!(names(folder.path()), [""; 0]);
        }
    }

    #[test]
    fn links_and_files_are_neither_followed_nor_replaced() {
        let (folder, path) = folder();
        let victim = folder.path().join("victim");
        leave_stale(&victim);
        for target in [victim.as_path(), Path::new("nowhere")] {
            symlink(target, &path).unwrap();
            let error = ControlSocket::create(&path).unwrap_err();
            assert!(matches!(error, ControlSocketError::NotASocket { .. }), "{error}");
            assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
            fs::remove_file(&path).unwrap();
        }
        assert!(victim.exists() && !folder.path().join("nowhere").exists());
        fs::write(&path, "mine").unwrap();
        assert!(matches!(ControlSocket::create(&path).unwrap_err(), ControlSocketError::NotASocket { .. }));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn what_another_put_in_our_place_is_not_removed() {
        let (_folder, path) = folder();
        let socket = ControlSocket::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another").unwrap();
        drop(socket);
        assert_eq!(fs::read_to_string(&path).unwrap(), "another");
    }

    #[test]
    fn a_missing_folder_and_a_long_path_are_errors_that_name_the_path() {
        let (folder, _) = folder();
        for name in ["no/proxy.sock", &"x".repeat(120)] {
            let error = ControlSocket::create(&folder.path().join(name)).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert_eq!(names(folder.path()), [""; 0]);
    }
}
