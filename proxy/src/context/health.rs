//! Says how healthy a running proxy is, for pages and commands.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Context;
use crate::env::Env;

/// Whether a proxy goes on serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does.
    Ok,
    /// It has been told to stop.
    Draining,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Ok => "ok",
            Status::Draining => "draining",
        })
    }
}

/// How a running proxy is: the page `/healthz`, and the answer to `health` on the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether it goes on serving.
    pub status: Status,
    /// The configuration in force, counted from 1.
    pub config_epoch: u64,
    /// Reloads tried since the start.
    pub reloads: u64,
    /// Whether the last of them failed; what it said stands in the log and in the statistics.
    pub reload_failed: bool,
}

impl<E: Env> Context<E> {
    /// How the proxy is.
    pub(crate) fn health(&self) -> Health {
        let reload = self.reload.lock();
        Health {
            status: if self.connections.is_unready() { Status::Draining } else { Status::Ok },
            // Behind the lock, under which a reload replaces them.
            config_epoch: self.settings.load().epoch,
            reloads: reload.tried,
            reload_failed: reload.error.is_some(),
        }
    }
}
