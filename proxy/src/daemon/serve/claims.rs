//! Claims the files that say which process runs: PID file and control socket.

use std::os::fd::OwnedFd;

use tracing::warn;

use super::signals::ProcessSignals;
use crate::config::{ProcessFile, Server};
use crate::daemon::control::ControlSocket;
use crate::daemon::pidfile::{PidFile, PidFileError};

/// The files of this process. Dropping it removes those that are still ours.
#[derive(Debug)]
pub(super) struct Claims {
    /// In front of the PID file, so that it goes first: whoever finds no PID file finds no proxy.
    pub(super) control: Option<ControlSocket>,
    pub(super) pid_file: Option<PidFile>,
}

/// The locks of another process's files, which it hands over.
#[derive(Debug)]
pub(super) struct Locks {
    pub(super) control: OwnedFd,
    pub(super) pid_file: Option<OwnedFd>,
}

impl Claims {
    /// Claims what `server` asks for, in place of the process that has handed its locks over, if one has.
    ///
    /// It asks for the `_handled` signals because whoever can learn whom to signal may do so at once: without a handler, a signal
    /// kills.
    ///
    /// # Errors
    /// A sentence. Where the path is a default, a failure is only warned about; a second proxy on a PID file is refused.
    pub(super) fn make(server: &Server, _handled: &ProcessSignals, locks: Option<Locks>) -> Result<Self, String> {
        let (control_lock, pid_lock) = locks.map_or((None, None), |locks| (Some(locks.control), locks.pid_file));
        let pid_file = write_pid(server, pid_lock)?;
        let control = open_control(server, control_lock)?;
        Ok(Claims { control, pid_file })
    }
}

/// Writes the PID file. If its path is the default, a failure is only warned about; a second proxy on it is refused.
fn write_pid(server: &Server, handed: Option<OwnedFd>) -> Result<Option<PidFile>, String> {
    let Some(path) = server.pid_file_path() else { return Ok(None) };
    let claimed = match handed {
        Some(handed) => PidFile::take_over(&path, handed.into()),
        None => PidFile::create(&path),
    };
    match claimed {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_wanted(&server.pid_file) || matches!(error, PidFileError::AlreadyRunning { .. }) => {
            Err(error.to_string())
        }
        Err(error) => {
            warn!("no PID file: {error}");
            Ok(None)
        }
    }
}

/// The control socket; one that nobody asked for may fail to be made. Where another proxy in the same folder has it,
/// this one is not to be started twice only because of that: the PID file sees to it where it is wanted.
fn open_control(server: &Server, handed: Option<OwnedFd>) -> Result<Option<ControlSocket>, String> {
    let Some(path) = server.control_socket_path() else { return Ok(None) };
    let claimed = match handed {
        Some(handed) => ControlSocket::take_over(&path, handed),
        None => ControlSocket::create(&path),
    };
    match claimed {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if is_wanted(&server.control_socket) => Err(error.to_string()),
        Err(error) => {
            warn!("no control socket, so `proxy reload` and `proxy healthcheck` can't reach this proxy: {error}");
            Ok(None)
        }
    }
}

/// Whether it was asked for, so that going without it is an error.
fn is_wanted(file: &ProcessFile) -> bool {
    matches!(file, ProcessFile::At(_))
}
