//! Takes the listening socket that a service manager passes at the start (`LISTEN_FDS`, sd_listen_fds(3)).
//!
//! The manager opens it before the proxy runs and keeps it while none does, so that clients wait at a restart and are not
//! refused.

use std::net::TcpListener;

use listenfd::ListenFd;

/// The socket that was passed to this process, if any. It has to be asked for before other threads run, since the
/// variables are removed, so that no child takes them for its own.
///
/// # Errors
/// A sentence: what was passed is no TCP socket, or more than one.
pub fn passed_listener() -> Result<Option<TcpListener>, String> {
    let mut passed = ListenFd::from_env();
    match passed.len() {
        0 => Ok(None),
        1 => passed.take_tcp_listener(0).map_err(|error| format!("LISTEN_FDS: {error}")),
        count => Err(format!("LISTEN_FDS: {count} sockets were passed, and netdrift listens on one")),
    }
}
