//! Builds and runs one proxy from a configuration, an environment and an observer.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::auth::Authenticator;
use crate::config::{Config, Via, diff};
use crate::env::{Env, Listener, RelayLimits};
use crate::event::{Event, Observer, RequestId};
use crate::head::{Fields, HeadLimits};
use crate::life::Life;
use crate::pool::Pool;
use crate::{prober, rlimit, server};

pub use crate::leg::TlsSetupError;
pub use crate::pool::PoolError;

/// A running proxy. Dropping it leaves it running: [`Proxy::drain`] ends it.
pub struct Proxy<E: Env> {
    shared: Arc<Shared<E>>,
}

/// What everything in one proxy shares.
pub(crate) struct Shared<E: Env> {
    pub(crate) env: E,
    pub(crate) pool: Arc<Pool<E>>,
    pub(crate) live: ArcSwap<Live>,
    pub(crate) life: Arc<Life>,
    pub(crate) listen: SocketAddr,
    pub(crate) max_connections: usize,
    pub(crate) started: SystemTime,
    pseudonym: String,
    requests: AtomicU64,
    /// Problems of the last reload, if it failed; and what waits for a restart.
    pub(crate) reload: Mutex<ReloadState>,
}

/// How the last reload went.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReloadState {
    pub(crate) tried: u64,
    pub(crate) error: Option<String>,
    pub(crate) restart_required: Vec<String>,
}

/// A configuration in force and what is derived from it. A request keeps the one it began with.
pub(crate) struct Live {
    pub(crate) config: Config,
    /// Counted from 1, the configuration at start.
    pub(crate) epoch: u64,
    pub(crate) auth: Option<Authenticator>,
    pub(crate) limits: HeadLimits,
    /// What we call ourselves.
    pseudonym: String,
}

/// Why a proxy can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The upstreams can't be set up.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The listen address can't be had.
    #[error("server.listen_address: can't listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

/// What a reload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The configuration's number.
    pub epoch: u64,
    /// What changed, a line each; empty where nothing did.
    pub changes: Vec<String>,
    /// What keeps its old value until a restart.
    pub restart_required: Vec<String>,
}

impl<E: Env> Proxy<E> {
    /// Listens and serves.
    ///
    /// # Errors
    /// The address is taken, or an upstream's TLS can't be set up.
    pub async fn start(config: Config, env: E, observer: Arc<dyn Observer>) -> Result<Self, StartError> {
        let pool = Pool::new(env.clone(), &config, observer)?;
        let address = config.server.listen;
        let listener = env.bind(address).await.map_err(|error| StartError::Listen { address, error })?;
        let listen = listener.local_addr().map_err(|error| StartError::Listen { address, error })?;
        let pseudonym = format!("netdrift-{:08x}", env.rand_u64() as u32);
        let most = config.limits.max_connections.unwrap_or_else(|| rlimit::max_connections_for(rlimit::nofile()));
        let shared = Arc::new(Shared {
            live: ArcSwap::from_pointee(Live::new(config, 1, &pseudonym, &env)),
            started: env.wall(),
            max_connections: most.get(),
            life: Arc::default(),
            requests: AtomicU64::new(0),
            reload: Mutex::default(),
            pool,
            listen,
            pseudonym,
            env,
        });
        let env = &shared.env;
        let accepting = Arc::clone(&shared);
        env.spawn(async move {
            server::accept(Arc::clone(&accepting), listener).await;
            accepting.life.closed.fire();
        });
        env.spawn(prober::check(Arc::clone(&shared)));
        env.spawn(prober::sweep(Arc::clone(&shared)));
        Ok(Proxy { shared })
    }

    /// Where it listens; tells the port where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.listen
    }

    /// Puts another configuration in force: requests that begin from now on follow it, tunnels live on. What needs a
    /// restart keeps its old value.
    ///
    /// # Errors
    /// The upstreams can't be set up; nothing has changed then.
    pub fn reload(&self, mut config: Config) -> Result<Reloaded, PoolError> {
        let shared = &self.shared;
        let mut state = shared.reload.lock().unwrap_or_else(PoisonError::into_inner);
        state.tried += 1;
        let before = shared.live.load_full();
        let restart_required = config.keep_restart_only(&before.config);
        let changes = diff(&before.config, &config).lines;
        if let Err(error) = shared.pool.configure(&config) {
            let problems = error.to_string();
            state.error = Some(problems.clone());
            drop(state);
            shared.pool.tell(&Event::ReloadFailed { problems: &problems });
            return Err(error);
        }
        let epoch = before.epoch + 1;
        shared.live.store(Arc::new(Live::new(config, epoch, &shared.pseudonym, &shared.env)));
        state.error = None;
        state.restart_required.clone_from(&restart_required);
        drop(state);
        let event = Event::Reloaded { epoch, changes: &changes, restart_required: &restart_required };
        shared.pool.tell(&event);
        Ok(Reloaded { epoch, changes, restart_required })
    }

    /// A new configuration could not be read: tells of it and keeps the old one.
    pub fn refuse_reload(&self, problems: &str) {
        let mut state = self.shared.reload.lock().unwrap_or_else(PoisonError::into_inner);
        state.tried += 1;
        state.error = Some(problems.to_owned());
        drop(state);
        self.shared.pool.tell(&Event::ReloadFailed { problems });
    }

    /// Finishes and stops: unready for `drain_delay`, then nothing is accepted, then what still runs after
    /// `drain_timeout` is reset. Returns the number of connections that were.
    pub async fn drain(&self) -> usize {
        let life = &self.shared.life;
        let (delay, limit) = {
            let live = self.shared.live.load();
            (live.config.server.drain_delay, live.config.server.drain_timeout)
        };
        life.become_unready();
        self.shared.pool.tell(&Event::DrainStarted { open: life.open() });
        tokio::time::sleep(delay).await;
        life.closing.fire();
        // Who stood in the queue counts among those that run.
        life.closed.wait().await;
        if tokio::time::timeout(limit, life.wait_for_fewer(1)).await.is_err() {
            life.reset.fire();
            life.wait_for_fewer(1).await;
        }
        let reset = life.resets();
        self.shared.pool.tell(&Event::Drained { reset });
        reset
    }
}

impl<E: Env> Shared<E> {
    pub(crate) fn next_request(&self) -> RequestId {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Live {
    fn new<E: Env>(config: Config, epoch: u64, random: &str, env: &E) -> Self {
        let pseudonym = match &config.server.via {
            Via::Pseudonym(name) => name.clone(),
            Via::Random | Via::Off => random.to_owned(),
        };
        Live {
            auth: Authenticator::new(&config.authentication, env),
            limits: HeadLimits {
                max_bytes: config.limits.max_header_bytes,
                max_fields: config.limits.max_header_fields,
            },
            pseudonym,
            epoch,
            config,
        }
    }

    /// Whether a request with these fields has been here before (RFC 9110 section 7.6.3).
    pub(crate) fn has_passed(&self, fields: &Fields) -> bool {
        let entries = fields.get_all("via").flat_map(|value| value.split(|&byte| byte == b','));
        entries.into_iter().any(|entry| {
            let mut words = entry.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(self.pseudonym.as_bytes()))
        })
    }

    /// Our entry of Via.
    pub(crate) fn via(&self, version: &str) -> String {
        format!("{version} {}", self.pseudonym)
    }

    /// The Via of our CONNECT: the client's, so that a ring of proxies is found out, and our own.
    pub(crate) fn connect_via(&self, fields: &Fields) -> Option<Vec<u8>> {
        if self.config.server.via == Via::Off {
            return None;
        }
        let mut via = Vec::new();
        for value in fields.get_all("via") {
            via.extend_from_slice(value);
            via.extend_from_slice(b", ");
        }
        via.extend_from_slice(self.via("1.1").as_bytes());
        Some(via)
    }

    pub(crate) fn relay_limits(&self) -> RelayLimits {
        let timeouts = &self.config.timeouts;
        RelayLimits { idle: timeouts.idle_tunnel, half_closed: timeouts.half_closed }
    }
}
