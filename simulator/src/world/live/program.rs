//! Makes of a subject what the system has to be told: its command, its configuration file, its signals.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions, Permissions, set_permissions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use serde_json::json;

use super::{binary, child};
use crate::scenario::{ConfigFile, HostName};
use crate::subject::{Order, Place, Subject, UnixSignal, settings};

/// How long a subject's own command may take to end.
const COMMAND: Duration = Duration::from_secs(10);
/// The folder in a run's folder in which another program may write.
const OWN: &str = "own";

/// Checks that the program of `subject` is installed.
///
/// # Errors
/// It is not. The text says how to install it.
pub(in crate::world) fn is_installed(subject: &Subject) -> io::Result<()> {
    if subject.tells() {
        return binary::find().map(|_| ());
    }
    subject.command(&subject.file().version, &json!({ "proxy": "" })).map(|_| ()).map_err(io::Error::other)
}

/// The line of what `subject` says of its version; empty if it says nothing.
///
/// # Errors
/// It is not installed, or its binary can't be run.
pub fn version(subject: &Subject) -> io::Result<String> {
    let proxy = if subject.tells() { binary::find()? } else { PathBuf::new() };
    let (program, arguments) =
        subject.command(&subject.file().version, &json!({ "proxy": proxy })).map_err(io::Error::other)?;
    let said = run(Command::new(program).args(arguments))?;
    let said = [said.stdout, said.stderr].concat();
    Ok(first_words(&String::from_utf8_lossy(&said)))
}

/// The first line of `said` that holds a version number, else the first, up to its first dash and without the folder of a program that names
/// itself by its path. 3proxy knows no option for its version and tells it below its usage.
fn first_words(said: &str) -> String {
    let has_number =
        |line: &&str| line.as_bytes().windows(3).any(|three| matches!(three, [b'0'..=b'9', b'.', b'0'..=b'9']));
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    let line = lines.clone().find(has_number).or_else(|| lines.next()).unwrap_or_default();
    let words = line.split(" - ").next().unwrap_or_default().split_whitespace();
    let names = words.map(|word| match word.starts_with('/') {
        true => word.rsplit('/').next().unwrap_or_default(),
        false => word,
    });
    names.collect::<Vec<_>>().join(" ")
}

/// A subject whose configuration is in force or about to be.
#[derive(Debug)]
pub(super) struct Program {
    /// The command that starts it.
    pub(super) start: Command,
    /// The command that ends with 0 once it serves, if it has one.
    pub(super) ready: Option<Command>,
    /// Where it is to listen.
    pub(super) listen: SocketAddr,
}

impl Program {
    /// Writes the configuration of `subject`, which is no netdrift, to `folder`, and makes its commands.
    pub(super) fn configure(
        subject: &Subject,
        file: &ConfigFile,
        listen: IpAddr,
        hosts: &BTreeMap<IpAddr, HostName>,
        folder: &Path,
    ) -> Result<Self, String> {
        let config = file.config.as_ref().map_err(Clone::clone)?;
        let name = subject.file().template.as_deref().unwrap_or_default();
        let path = folder.join(name);
        let own = folder.join(OWN);
        let place = Place { listen, folder: &own, proxy: Path::new(""), config: &path };
        let values = settings(config, hosts, &place);
        if let Some((_, text)) = subject.configuration(&values)? {
            let made = own_folder(folder, subject.file().user.as_deref());
            made.and_then(|()| write(&path, &text)).map_err(|error| error.to_string())?;
        }
        let command = |words: &[String]| {
            let (program, arguments) = subject.command(words, &values)?;
            let mut command = Command::new(program);
            command.args(arguments);
            Ok::<Command, String>(command)
        };
        Ok(Program {
            start: command(&subject.file().start)?,
            ready: subject.file().ready.as_deref().map(command).transpose()?,
            listen: SocketAddr::new(listen, config.server.listen.port()),
        })
    }
}

/// The command that starts the netdrift whose configuration is in `folder`.
pub(super) fn netdrift(subject: &Subject, folder: &Path) -> io::Result<Command> {
    order(subject, &subject.file().start, folder)
}

/// Runs an operator's command with these `arguments` for the netdrift whose configuration is in `folder`.
pub(super) fn operate(subject: &Subject, folder: &Path, arguments: &[String]) -> io::Result<()> {
    let mut command = netdrift(subject, folder)?;
    command.args(arguments).env_remove("PROXY_CONFIG").env("NO_COLOR", "1").stdin(Stdio::null());
    let done = command.output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
}

/// A command of `subject` that names no value of its configuration.
pub(super) fn order(subject: &Subject, words: &[String], folder: &Path) -> io::Result<Command> {
    let proxy = if subject.tells() { binary::find()? } else { PathBuf::new() };
    let config = match &subject.file().template {
        Some(name) => folder.join(name),
        None => child::config_file(folder),
    };
    let own = folder.join(OWN);
    let place = Place { listen: IpAddr::from([127, 0, 0, 1]), folder: &own, proxy: &proxy, config: &config };
    let (program, arguments) = subject.command(words, &place.values()).map_err(io::Error::other)?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Makes the folder in the run's folder in which the program may write. It is that of `user`, as whom the program works once it has given up
/// root; the run's folder itself stays ours, and that user may only pass through it.
fn own_folder(folder: &Path, user: Option<&str>) -> io::Result<()> {
    let own = folder.join(OWN);
    if own.is_dir() {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(&own)?;
    let Some(user) = user.filter(|_| geteuid().is_root()) else { return Ok(()) };
    let users = std::fs::read_to_string("/etc/passwd")?;
    let (user, group) = ids(&users, user).ok_or_else(|| io::Error::other(format!("there is no user {user}")))?;
    set_permissions(folder, Permissions::from_mode(0o711))?;
    chown(own, Some(user), Some(group))
}

/// The numbers of a user and of its group in the text of passwd(5).
fn ids(users: &str, user: &str) -> Option<(u32, u32)> {
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == user)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// Writes `text` to `file` in one step. Nobody's link is followed.
pub(super) fn write(file: &Path, text: &str) -> io::Result<()> {
    let beside = file.with_extension("new");
    if let Err(error) = std::fs::remove_file(&beside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    OpenOptions::new().write(true).create_new(true).open(&beside)?.write_all(text.as_bytes())?;
    std::fs::rename(beside, file)
}

/// Runs a command of a subject to its end and returns what it has said.
///
/// # Errors
/// It can't be run, or has not ended in time and was killed.
pub(super) fn run(command: &mut Command) -> io::Result<Output> {
    run_within(command, COMMAND)
}

fn run_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    let (ended, end) = mpsc::channel();
    // If nobody waits for the end any more, nobody has to hear of it.
    std::thread::Builder::new().name("command".to_owned()).spawn(move || ended.send(child.wait_with_output()))?;
    end.recv_timeout(limit).unwrap_or_else(|_| {
        // It fails only if all of them have ended meanwhile.
        let _ = kill_process_group(pid, Signal::KILL);
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{name} has not ended within {limit:?}")))
    })
}

/// The signal of `order`; SIGTERM where nothing else is said.
pub(super) fn signal_of(order: Option<&Order>) -> Signal {
    match order.and_then(|order| order.signal) {
        Some(UnixSignal::Hup) => Signal::HUP,
        Some(UnixSignal::Int) => Signal::INT,
        Some(UnixSignal::Quit) => Signal::QUIT,
        Some(UnixSignal::Usr1) => Signal::USR1,
        Some(UnixSignal::Usr2) => Signal::USR2,
        Some(UnixSignal::Winch) => Signal::WINCH,
        Some(UnixSignal::Term) | None => Signal::TERM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_end_is_killed_and_named() {
        let said = run(Command::new("echo").arg("1.0")).unwrap();
        assert_eq!((said.status.success(), said.stdout.as_slice()), (true, &b"1.0\n"[..]));
        let late = run_within(Command::new("sleep").arg("600"), Duration::from_millis(1)).unwrap_err();
        assert_eq!(late.to_string(), "sleep has not ended within 1ms");
    }

    #[test]
    fn a_version_says_nothing_of_the_machine() {
        assert_eq!(first_words("\n/opt/x/bin/x  version: 1/2.0 - built today\nmore"), "x version: 1/2.0");
        assert_eq!(
            first_words("Usage: 3proxy [file]\n\n3proxy tiny proxy server 3proxy-0.9.4\n"),
            "3proxy tiny proxy server 3proxy-0.9.4"
        );
        assert_eq!(first_words("x nightly\nmore"), "x nightly");
    }

    #[test]
    fn a_file_is_written_through_nobodys_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("x.conf"), folder.path().join("other"));
        std::fs::write(&other, "theirs").unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("x.new")).unwrap();
        write(&file, "ours").unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "theirs");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "ours");
    }

    #[test]
    fn only_the_programs_own_folder_is_for_its_user() {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = super::super::engine::folder().unwrap();
        own_folder(folder.path(), None).unwrap();
        assert_eq!((mode(folder.path()), mode(&folder.path().join(OWN))), (0o700, 0o700));
        let users = "root:x:0:0:root:/root:/bin/sh\nproxy:x:13:14:proxy:/bin:/bin/sh\n";
        assert_eq!((ids(users, "proxy"), ids(users, "prox")), (Some((13, 14)), None));
    }
}
