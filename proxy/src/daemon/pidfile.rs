//! Keeps the file that tells other programs the id of this process.
//!
//! *Only the process that holds the lock of the file at the path may replace or remove that file.*
//!
//! - The lock is an flock(2) that the process holds for its whole life, and that the system releases after a crash. It prevents
//!   races between two starts at the same time (CWE-362).
//! - Links are never followed (CWE-59).
//! - The file is written under another name and then linked or renamed to the path, so that nobody reads an incomplete file.

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use rustix::process::{Pid, test_kill_process};

/// How often a start tries again because the file was replaced at the same time. Each time another process must have just started
/// or ended, so a few attempts suffice.
const ROUNDS: u32 = 16;

/// How many bytes of a file are read: a process id, the end of the line, and some white space.
const MAX_BYTES: u64 = 64;

/// The PID file of this process. Dropping it removes the file, if it is still ours.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    /// The open file, which we keep locked.
    file: File,
}

/// Why a PID file can't be written, or names no running process.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// Another instance is running and owns the file.
    #[error("{}: already running{}; stop that process, or give this one a pid_file of its own", path.display(), Named(*pid))]
    AlreadyRunning {
        /// The path of the file.
        path: PathBuf,
        /// The process that the file names, if it could be read.
        pid: Option<Pid>,
    },
    /// The file holds something else than a process id, so we must not replace it.
    #[error("{}: holds no process id; if nothing else needs that file, remove it", path.display())]
    Foreign {
        /// The path of the file.
        path: PathBuf,
    },
    /// The path leads to a symbolic link, a folder, a pipe or a device.
    #[error("{}: is not a regular file; links are not followed, name the file itself", path.display())]
    NotAFile {
        /// The path of the file.
        path: PathBuf,
    },
    /// The system refused an operation.
    #[error("{}: cannot {doing} the PID file: {source}", path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The operation, as a verb.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// ` (process 17)`, or nothing.
struct Named(Option<Pid>);

impl Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

impl PidFile {
    /// Writes the id of this process to `path`, as decimal digits and a line end.
    ///
    /// A file that is left from a crash is replaced. The folder must exist.
    ///
    /// # Errors
    /// [`PidFileError::AlreadyRunning`] if another live process of this program owns the file. If `path` leads to something that
    /// is not a PID file (a link, a folder, other content), it is not touched, and the error says so. Else the system's error.
    pub fn create(path: &Path) -> Result<PidFile, PidFileError> {
        PidFile::create_as(path, rustix::process::getpid(), program_of_self().as_deref())
    }

    fn create_as(path: &Path, me: Pid, program: Option<&str>) -> Result<PidFile, PidFileError> {
        let (draft, file) = Draft::write(path, me)?;
        let ours = |file| PidFile { path: path.to_owned(), file };
        for _ in 0..ROUNDS {
            let Some(old) = open(path)? else {
                // Unlike rename(2), link(2) never replaces a file. So if two processes start, only one gets the name.
                match fs::hard_link(&draft.0, path) {
                    Ok(()) => return Ok(ours(file)),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                    Err(source) => return Err(failed(path, "create")(source)),
                }
            };
            if draft.take_over(&old, path, me, program)? {
                return Ok(ours(file));
            }
        }
        Err(PidFileError::AlreadyRunning { path: path.to_owned(), pid: None })
    }

    /// Writes the id of this process to `path` in place of the process that handed over its file, open and locked. Where that
    /// one is not at `path`, this is [`PidFile::create`].
    ///
    /// # Errors
    /// [`PidFileError::AlreadyRunning`] if the file that was handed over is not locked by who did so; else those of
    /// [`PidFile::create`].
    pub fn take_over(path: &Path, handed: File) -> Result<PidFile, PidFileError> {
        // The lock has come with the open file. Where it has not, somebody else has it.
        match handed.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(PidFileError::AlreadyRunning { path: path.to_owned(), pid: None });
            }
            Err(TryLockError::Error(source)) => return Err(failed(path, "lock")(source)),
        }
        if !stands_at(&handed, path) {
            return PidFile::create(path);
        }
        let (draft, file) = Draft::write(path, rustix::process::getpid())?;
        fs::rename(&draft.0, path).map_err(failed(path, "replace"))?;
        Ok(PidFile { path: path.to_owned(), file })
    }

    /// The open file with its lock, for a process that takes over.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // We hold the lock. So if the file at the path is ours now, nobody else may change that.
        if stands_at(&self.file, &self.path) {
            // At exit nobody can be told of an error. If the file stays, the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The name of a new file before it is moved to its path. Dropping this removes the name.
struct Draft(PathBuf);

impl Draft {
    /// Writes a complete file in the folder of `target`, and locks it.
    fn write(target: &Path, me: Pid) -> Result<(Draft, File), PidFileError> {
        // Two threads of one process must not use the same draft.
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let mut name = OsString::from(".");
        name.push(target.file_name().ok_or_else(|| PidFileError::NotAFile { path: target.to_owned() })?);
        name.push(format!(".{me}-{}", SERIAL.fetch_add(1, Ordering::Relaxed)));
        let draft = Draft(target.with_file_name(name));

        let create = || OpenOptions::new().write(true).create_new(true).mode(0o644).open(&draft.0);
        let mut file = match create() {
            // An earlier process with the same id has crashed before it removed its draft.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&draft.0).and_then(|()| create())
            }
            other => other,
        }
        .map_err(failed(target, "create"))?;
        file.lock().map_err(failed(target, "lock"))?;
        writeln!(file, "{me}").map_err(failed(target, "write"))?;
        Ok((draft, file))
    }

    /// Replaces the stale file `old` by the draft. Returns `false` if `old` is no longer at `path`.
    fn take_over(&self, old: &File, path: &Path, me: Pid, program: Option<&str>) -> Result<bool, PidFileError> {
        let named = parse(old, path)?;
        let running = |pid| PidFileError::AlreadyRunning { path: path.to_owned(), pid };
        match old.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(running(named)),
            Err(TryLockError::Error(source)) => return Err(failed(path, "lock")(source)),
        }
        if !stands_at(old, path) {
            return Ok(false);
        }
        // A process may have written the file by other means and hold no lock. If it is running, its file must not be replaced.
        if named.is_some_and(|pid| pid != me && is_program(pid, program) == Some(true)) {
            return Err(running(named));
        }
        // The caller keeps `old` open, and therefore locked, until the new file has replaced it.
        fs::rename(&self.0, path).map_err(failed(path, "replace"))?;
        Ok(true)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // This fails if the draft was renamed to its path, and then nothing has to be removed.
        let _ = fs::remove_file(&self.0);
    }
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> PidFileError {
    move |source| PidFileError::Io { path: path.to_owned(), doing, source }
}

/// Opens the regular file at `path`. `None` if there is nothing.
fn open(path: &Path) -> Result<Option<File>, PidFileError> {
    // With NONBLOCK, opening a pipe does not wait for its writer.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let not_a_file = || PidFileError::NotAFile { path: path.to_owned() };
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => return Err(not_a_file()),
        Err(source) => return Err(failed(path, "open")(source)),
    };
    let kind = file.metadata().map_err(failed(path, "open"))?.file_type();
    if kind.is_file() { Ok(Some(file)) } else { Err(not_a_file()) }
}

/// The process id in `file`. `None` if the file is empty, as it may be after a crash of the whole machine.
fn parse(file: &File, path: &Path) -> Result<Option<Pid>, PidFileError> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed(path, "read"))?;
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Ok(None);
    }
    str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|number| *number > 0)
        .and_then(Pid::from_raw)
        .map(Some)
        .ok_or_else(|| PidFileError::Foreign { path: path.to_owned() })
}

/// Whether `path` still names the open `file`. Links are not followed.
pub(super) fn stands_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => ours.dev() == there.dev() && ours.ino() == there.ino(),
        _ => false,
    }
}

/// Whether process `pid` lives and runs `program`. `None` if the system does not tell: there is no /proc, or it hides the process.
fn is_program(pid: Pid, program: Option<&str>) -> Option<bool> {
    if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return Some(false);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, state) = name_and_state(&stat)?;
    // A zombie does not run. It only waits until its parent reads its exit status.
    Some(name == program? && state != 'Z')
}

/// The name under which the system lists this process (the file name of its binary, cut to 15 bytes).
fn program_of_self() -> Option<String> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    name_and_state(&stat).map(|(name, _)| name.to_owned())
}

/// The name and the state in a line such as `17 (some name) S …`, see proc_pid_stat(5). The name itself may have parentheses and
/// spaces.
fn name_and_state(stat: &str) -> Option<(&str, char)> {
    let (head, tail) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once(" (")?;
    Some((name, tail.chars().next()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command, Stdio};
    use std::sync::Barrier;

    use super::*;

    /// A process that lives until it is dropped. The system lists it as `cat`.
    struct Other(Child);

    impl Other {
        fn start() -> Other {
            Other(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
        }

        fn pid(&self) -> Pid {
            Pid::from_child(&self.0)
        }

        fn kill(mut self) -> Pid {
            let pid = self.pid();
            self.0.kill().unwrap();
            self.0.wait().unwrap();
            pid
        }
    }

    impl Drop for Other {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn me() -> Pid {
        rustix::process::getpid()
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.pid");
        (folder, path)
    }

    /// The process that the file at `path` names.
    fn read(path: &Path) -> Pid {
        parse(&open(path).unwrap().unwrap(), path).unwrap().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn holds_the_pid_alone_and_goes_with_its_owner() {
        let (folder, path) = folder();
        let file = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(names(folder.path()), ["proxy.pid"], "no draft is left");
        assert_eq!(read(file.path()), me());
        drop(file);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn a_second_start_is_refused_and_harms_nothing() {
        let (folder, path) = folder();
        let first = PidFile::create(&path).unwrap();
        let error = PidFile::create(&path).unwrap_err();
        assert!(matches!(&error, PidFileError::AlreadyRunning { pid: Some(pid), .. } if *pid == me()), "{error}");
        let text = error.to_string();
        assert!(text.contains("proxy.pid: already running (process "), "{text}");
        assert_eq!(names(folder.path()), ["proxy.pid"]);
        drop(first);
        PidFile::create(&path).unwrap();
    }

    #[test]
    fn whoever_was_handed_the_file_takes_its_place_and_keeps_it() {
        let (folder, path) = folder();
        let first = PidFile::create(&path).unwrap();
        let second = PidFile::take_over(&path, first.share().unwrap().into()).unwrap();
        assert_eq!(names(folder.path()), ["proxy.pid"], "no draft is left");
        drop(first);
        assert_eq!(read(&path), me(), "what is the second's is not removed by the first");
        assert!(PidFile::create(&path).is_err());
        drop(second);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn a_file_without_its_lock_takes_nobodys_place() {
        let (_folder, path) = folder();
        let first = PidFile::create(&path).unwrap();
        let error = PidFile::take_over(&path, File::open(&path).unwrap()).unwrap_err();
        assert!(matches!(error, PidFileError::AlreadyRunning { .. }), "{error}");
        assert!(stands_at(&first.file, &path));
    }

    #[test]
    fn a_live_process_of_the_same_program_is_respected_without_a_lock() {
        let (_folder, path) = folder();
        let other = Other::start();
        let text = format!("{}\n", other.pid());
        fs::write(&path, &text).unwrap();
        let error = PidFile::create_as(&path, me(), Some("cat")).unwrap_err();
        assert!(matches!(error, PidFileError::AlreadyRunning { pid: Some(pid), .. } if pid == other.pid()), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "left alone");
    }

    #[test]
    fn a_number_inherited_by_another_program_is_stale() {
        let (_folder, path) = folder();
        let other = Other::start();
        fs::write(&path, format!("{}\n", other.pid())).unwrap();
        let _file = PidFile::create_as(&path, me(), Some("proxy")).unwrap();
        assert_eq!(read(&path), me());
    }

    #[test]
    fn a_dead_process_our_own_old_number_and_an_empty_file_are_stale() {
        let dead = Other::start().kill();
        for content in [format!("{dead}\n"), format!("{}", me()), String::new()] {
            let (folder, path) = folder();
            fs::write(&path, &content).unwrap();
            let file = PidFile::create(&path).unwrap();
            assert_eq!(read(&path), me(), "{content:?}");
            assert_eq!(names(folder.path()), ["proxy.pid"]);
            drop(file);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_zombie_does_not_run() {
        let mut other = Other::start();
        other.0.kill().unwrap();
        // The end of the pipe does not prove that the process has ended. So wait for its end, without reading its exit status.
        let _ = rustix::process::waitid(
            rustix::process::WaitId::Pid(other.pid()),
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
        )
        .unwrap();
        assert_eq!(is_program(other.pid(), Some("cat")), Some(false));
    }

    #[test]
    fn of_many_starts_at_once_exactly_one_wins() {
        const STARTS: usize = 8;
        let dead = Other::start().kill();
        for stale in [None, Some(format!("{dead}\n"))].into_iter().cycle().take(50) {
            let (folder, path) = folder();
            if let Some(stale) = &stale {
                fs::write(&path, stale).unwrap();
            }
            let barrier = Barrier::new(STARTS);
            let results: Vec<_> = std::thread::scope(|scope| {
                let start = || {
                    barrier.wait();
                    PidFile::create(&path)
                };
                let threads: Vec<_> = (0..STARTS).map(|_| scope.spawn(start)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
            assert_eq!(names(folder.path()), ["proxy.pid"]);
            drop(results);
            assert_eq!(names(folder.path()), [""; 0]);
        }
    }

    #[test]
    fn a_file_replaced_between_look_and_lock_is_not_replaced_again() {
        let (_folder, path) = folder();
        fs::write(&path, "").unwrap();
        let stale = open(&path).unwrap().unwrap();
        let winner = PidFile::create(&path).unwrap();
        let (draft, _file) = Draft::write(&path, me()).unwrap();
        assert!(!draft.take_over(&stale, &path, me(), None).unwrap());
        assert!(stands_at(&winner.file, &path));
    }

    #[test]
    fn what_another_put_in_our_place_is_not_removed() {
        let (_folder, path) = folder();
        let file = PidFile::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn links_are_not_followed() {
        let (folder, path) = folder();
        let victim = folder.path().join("victim");
        fs::write(&victim, "1\n").unwrap();
        for target in [victim.as_path(), Path::new("nowhere")] {
            symlink(target, &path).unwrap();
            let error = PidFile::create(&path).unwrap_err();
            assert!(matches!(error, PidFileError::NotAFile { .. }), "{error}");
            assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "1\n");
        assert!(!folder.path().join("nowhere").exists());
    }

    #[test]
    fn what_is_no_pid_file_is_left_alone() {
        let contents = ["{\"server\": {}}", "-1\n", "0\n", "17 18\n", "99999999999\n", "\u{1f}17\n"];
        for content in contents.map(str::to_owned).into_iter().chain([format!("17\n{}", "x".repeat(100))]) {
            let (folder, path) = folder();
            fs::write(&path, &content).unwrap();
            let error = PidFile::create(&path).unwrap_err();
            assert!(matches!(error, PidFileError::Foreign { .. }), "{content:?}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(names(folder.path()), ["proxy.pid"]);
        }
    }

    #[test]
    fn a_folder_a_pipe_and_a_missing_folder_are_errors_that_name_the_path() {
        let (folder, path) = folder();
        fs::create_dir(&path).unwrap();
        assert!(matches!(PidFile::create(&path).unwrap_err(), PidFileError::NotAFile { .. }));
        fs::remove_dir(&path).unwrap();

        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(matches!(PidFile::create(&path).unwrap_err(), PidFileError::NotAFile { .. }));

        let lost = folder.path().join("no/proxy.pid");
        let text = PidFile::create(&lost).unwrap_err().to_string();
        assert!(text.contains("no/proxy.pid: cannot create the PID file: "), "{text}");
        assert!(PidFile::create(Path::new("/")).is_err());
    }

    #[test]
    fn names_with_parentheses_and_spaces_are_read_whole() {
        assert_eq!(name_and_state("17 (a (b) c) R 1 17"), Some(("a (b) c", 'R')));
        assert_eq!(name_and_state("17"), None);
    }
}
