//! What everything in one proxy shares.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::context::connections::Connections;
use crate::context::settings::Settings;
use crate::env::Env;
use crate::event::RequestId;
use crate::upstream::pool::Pool;

/// What everything in one proxy shares.
pub(crate) struct Context<E: Env> {
    pub(crate) env: E,
    pub(crate) pool: Arc<Pool<E>>,
    pub(crate) settings: ArcSwap<Settings>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) listen: SocketAddr,
    pub(crate) max_connections: usize,
    pub(crate) started: SystemTime,
    /// Requests numbered so far.
    pub(crate) requests: AtomicU64,
    pub(crate) reload: Mutex<ReloadState>,
}

impl<E: Env> Context<E> {
    /// The number of the next request.
    pub(crate) fn next_request(&self) -> RequestId {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How the proxy is.
    pub(crate) fn health(&self) -> Health {
        let reload = self.reload.lock().unwrap_or_else(PoisonError::into_inner);
        Health {
            status: if self.connections.is_unready() { Status::Draining } else { Status::Ok },
            // Behind the lock, under which a reload replaces them.
            config_epoch: self.settings.load().epoch,
            reloads: reload.tried,
            reload_failed: reload.error.is_some(),
        }
    }
}

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

/// How the last reload went.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReloadState {
    /// Reloads tried so far.
    pub(crate) tried: u64,
    /// The problems of the last one, if it failed.
    pub(crate) error: Option<String>,
    /// What keeps its old value until a restart.
    pub(crate) restart_required: Vec<String>,
}
