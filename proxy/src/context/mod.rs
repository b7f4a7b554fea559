//! Holds what everything in one proxy shares, and the settings that a request began with.

mod connections;
mod health;
mod settings;
mod tunnels;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use crate::env::{Env, Lock};
use crate::event::health_events::HealthEvents;
use crate::event::memory::Memory;
use crate::event::metrics::Metrics;
use crate::event::{Observer, RequestId};
use crate::upstream::pool::Pool;

pub(crate) use connections::{ConnectionSlot, Connections};
pub use health::{Health, Status};
pub(crate) use settings::Settings;
pub(crate) use tunnels::{Carriage, Carried};

/// A clock that is off by so much was set.
const SET: Duration = Duration::from_secs(1);

/// What everything in one proxy shares.
pub(crate) struct Context<E: Env> {
    pub(crate) env: E,
    pub(crate) pool: Arc<Pool<E>>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) metrics: Arc<Metrics>,
    /// The last requests.
    pub(crate) memory: Arc<Memory>,
    pub(crate) health_events: Arc<HealthEvents>,
    pub(crate) settings: ArcSwap<Settings>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) listen: SocketAddr,
    /// Where our own pages are, if not there.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) max_connections: usize,
    /// By the clock as it was then; see [`Context::start`].
    pub(crate) started: SystemTime,
    /// Requests numbered so far.
    pub(crate) requests: AtomicU64,
    pub(crate) reload: Lock<ReloadState>,
    /// Held by who reloads, for as long as that takes; nobody else comes here.
    pub(crate) reloading: Mutex<()>,
}

impl<E: Env> Context<E> {
    /// The number of the next request.
    pub(crate) fn next_request(&self) -> RequestId {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// When the proxy started, which is `uptime` ago, by the clock as it is set now: it may have been wrong at the start, as on a
    /// machine that has just booted, and what the pages tell has to agree with the log.
    pub(crate) fn start(&self, uptime: Duration) -> SystemTime {
        let by_now = self.env.wall().checked_sub(uptime).unwrap_or(SystemTime::UNIX_EPOCH);
        let off = by_now.duration_since(self.started).unwrap_or_else(|before| before.duration());
        // The two clocks are not read at one moment, and what is told should not waver.
        if off < SET { self.started } else { by_now }
    }

    /// Where this proxy listens, for clients and for its own pages.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        [Some(self.listen), self.admin].into_iter().flatten()
    }
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
