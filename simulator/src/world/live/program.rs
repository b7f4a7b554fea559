//! Makes of a subject what the system has to be told: its command, its configuration file, its signals.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use super::{binary, child};
use crate::scenario::{ConfigFile, HostName};
use crate::subject::{Order, Place, Subject, UnixSignal, settings};

/// Checks that the program of `subject` is installed.
///
/// # Errors
/// It is not. The text says how to install it.
pub fn is_installed(subject: &Subject) -> io::Result<()> {
    if subject.tells() {
        return binary::find().map(|_| ());
    }
    subject.command(&subject.file().version, &json!({ "proxy": "" })).map(|_| ()).map_err(io::Error::other)
}

/// The first line of what `subject` says of its version; empty if it says nothing.
///
/// # Errors
/// It is not installed, or its binary can't be run.
pub fn version(subject: &Subject) -> io::Result<String> {
    let proxy = if subject.tells() { binary::find()? } else { PathBuf::new() };
    let (program, arguments) =
        subject.command(&subject.file().version, &json!({ "proxy": proxy })).map_err(io::Error::other)?;
    let said = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    let said = [said.stdout, said.stderr].concat();
    let first =
        String::from_utf8_lossy(&said).lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
    Ok(first.split(" - ").next().unwrap_or_default().trim().to_owned())
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
        let place = Place { listen, folder, proxy: Path::new(""), config: &path };
        let values = settings(config, hosts, &place);
        if let Some((_, text)) = subject.configuration(&values)? {
            // Some programs give up root at their start, and must still read and write here.
            let opened = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777));
            opened.and_then(|()| write(&path, &text)).map_err(|error| error.to_string())?;
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

/// Runs the command `proxy upstream` with these `arguments` for the netdrift whose configuration is in `folder`.
pub(super) fn steer(subject: &Subject, folder: &Path, arguments: &[String]) -> io::Result<()> {
    let mut command = netdrift(subject, folder)?;
    command.arg("upstream").args(arguments).env_remove("PROXY_CONFIG").env("NO_COLOR", "1").stdin(Stdio::null());
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
    let place = Place { listen: IpAddr::from([127, 0, 0, 1]), folder, proxy: &proxy, config: &config };
    let (program, arguments) = subject.command(words, &place.values()).map_err(io::Error::other)?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Writes `text` to `file` in one step.
pub(super) fn write(file: &Path, text: &str) -> io::Result<()> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(beside, file)
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
