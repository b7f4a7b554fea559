//! Starts, reloads and drains one proxy.

mod compare;
mod steer;
mod tunnels;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::client::Entrance;
use crate::client::{listener, requests, statistics};
use crate::config::{self, Config, diff};
use crate::context::{Connections, Context, Health, Settings};
use crate::env::{Env, Listener, Lock};
use crate::event::health_events::HealthEvents;
use crate::event::memory::Memory;
use crate::event::metrics::Metrics;
use crate::event::{Event, Observer, RequestId};
use crate::http::via::Via;
use crate::upstream::PoolError;
use crate::upstream::pool::Pool;
use crate::upstream::prober;
use crate::upstream::warmer;

pub use compare::Comparison;
pub use steer::{Operator, Order, SteerError, Steered};
pub use tunnels::{CloseError, Criteria, FilterError, TunnelFilter};

/// A running proxy. Dropping it leaves it running: [`Proxy::drain`] ends it.
pub struct Proxy<E: Env> {
    context: Arc<Context<E>>,
    /// Our name in Via unless the configuration gives one. It is random, so that two proxies in a row don't take each
    /// other for themselves.
    pseudonym: String,
}

/// The bound sockets of one proxy.
#[derive(Debug)]
pub struct Listeners<L> {
    /// For clients.
    pub clients: L,
    /// For the proxy's own pages, where the configuration gives them one.
    pub admin: Option<L>,
}

/// Why a proxy can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The upstreams can't be set up.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The listen address can't be had.
    #[error("{section}.listen_address: can't listen on {address}: {error}")]
    Listen {
        /// The section of the configuration that has it.
        section: &'static str,
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
    pub config_epoch: u64,
    /// What changed, a line each; empty where nothing did.
    pub changes: Vec<String>,
    /// What keeps its old value until a restart.
    pub restart_required: Vec<String>,
}

impl<E: Env> Proxy<E> {
    /// Starts a proxy: binds its listen address, and serves clients in tasks of `env`. `observer` hears its events.
    ///
    /// # Errors
    /// The address is taken, or an upstream's TLS can't be set up.
    pub async fn start(config: Config, env: E, observer: Arc<dyn Observer>) -> Result<Self, StartError> {
        let listeners = Listeners {
            clients: listen_on(&env, config.server.listen, "server").await?,
            admin: match &config.admin {
                Some(admin) => Some(listen_on(&env, admin.listen, "admin").await?),
                None => None,
            },
        };
        Self::start_on(listeners, config, env, observer)
    }

    /// Starts a proxy on `listeners` that are bound already, wherever the configuration says that it listens.
    ///
    /// # Errors
    /// An upstream's TLS can't be set up.
    pub fn start_on(
        listeners: Listeners<E::Listener>,
        config: Config,
        env: E,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StartError> {
        let pseudonym = format!("netdrift-{:08x}", env.rand_u64() as u32);
        let via = via(&config, &pseudonym);
        let metrics = Arc::new(Metrics::default());
        let memory = Arc::new(Memory::new(config.limits.remembered_requests));
        let health_events = Arc::new(HealthEvents::default());
        let mut observers: Vec<Arc<dyn Observer>> = vec![Arc::clone(&metrics) as _, Arc::clone(&health_events) as _];
        if config.limits.remembered_requests > 0 {
            observers.push(Arc::clone(&memory) as _);
        }
        // The last to hear: whoever has heard of something finds it on our own pages as well.
        observers.push(observer);
        let observer: Arc<dyn Observer> = Arc::new(observers);
        let pool = Pool::new(env.clone(), &config, via.clone(), Arc::clone(&observer))?;
        let address = |listener: &E::Listener, section, address| {
            listener.local_addr().map_err(|error| StartError::Listen { section, address, error })
        };
        let listen = address(&listeners.clients, "server", config.server.listen)?;
        let admin = match (&listeners.admin, &config.admin) {
            (Some(listener), Some(admin)) => Some(address(listener, "admin", admin.listen)?),
            _ => None,
        };
        let most = config.limits.max_connections.unwrap_or_else(|| env.max_connections());
        let context = Arc::new(Context {
            settings: ArcSwap::from_pointee(Settings::new(config, 1, via, None, &env)),
            started: env.wall(),
            max_connections: most.get(),
            connections: Arc::default(),
            requests: AtomicU64::new(0),
            reload: Lock::default(),
            reloading: Mutex::default(),
            pool,
            observer,
            metrics,
            memory,
            health_events,
            listen,
            admin,
            env,
        });
        let env = &context.env;
        let accepting = Arc::clone(&context);
        env.spawn(async move {
            let admin = async {
                if let Some(listener) = listeners.admin {
                    listener::accept(Arc::clone(&accepting), listener, Entrance::Admin).await;
                }
            };
            let clients = listener::accept(Arc::clone(&accepting), listeners.clients, Entrance::Clients);
            tokio::join!(clients, admin);
            accepting.connections.closed.fire();
        });
        let Connections { closing, closed, .. } = &*context.connections;
        // Whoever takes over asks and opens for itself.
        env.spawn(prober::check(env.clone(), Arc::clone(&context.pool), closed.clone()));
        env.spawn(warmer::keep_warm(env.clone(), Arc::clone(&context.pool), closed.clone()));
        env.spawn(prober::sweep(Arc::clone(&context.pool), closing.clone()));
        env.spawn(prober::sample(Arc::clone(&context.pool), closing.clone()));
        Ok(Proxy { context, pseudonym })
    }

    /// Returns the address on which the proxy listens, with the actual port if port 0 was configured.
    pub fn local_addr(&self) -> SocketAddr {
        self.context.listen
    }

    /// Returns the address of the proxy's own pages, if they have one, likewise.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.context.admin
    }

    /// How many slots of the table of open tunnels were ever used.
    #[cfg(test)]
    pub(crate) fn tunnel_slots(&self) -> u32 {
        self.context.connections.tunnels.slots()
    }

    /// Returns the health of the proxy, as /healthz shows it.
    pub fn health(&self) -> Health {
        self.context.health()
    }

    /// Returns the text of the page of statistics.
    pub async fn statistics(&self) -> String {
        statistics::page(&self.context, &self.context.settings.load_full()).await
    }

    /// Returns the text of the page `/requests`: the last requests, or those of them that did not go well.
    pub fn requests(&self, failed: bool) -> String {
        requests::list(&self.context, failed)
    }

    /// Returns the text of the page `/requests/ID` of this request; `None` if it is not remembered.
    pub fn explain(&self, request: RequestId) -> Option<String> {
        requests::story(&self.context, request)
    }

    /// Puts another configuration in force. Requests that begin from now on follow it; tunnels are not touched. Fields that
    /// need a restart keep their old values.
    ///
    /// # Errors
    /// The upstreams can't be set up. The old configuration stays in force.
    pub fn reload(&self, mut config: Config) -> Result<Reloaded, PoolError> {
        let context = &self.context;
        // One at a time. Pages show what came of the last one meanwhile, and don't wait.
        let turn = context.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = context.settings.load_full();
        let restart_required = config.keep_restart_only(&before.config);
        let changes = diff(&before.config, &config).lines;
        let via = via(&config, &self.pseudonym);
        if let Err(error) = context.pool.configure(&config, via.clone()) {
            let problems = error.to_string();
            let mut state = context.reload.lock();
            state.tried += 1;
            state.error = Some(problems.clone());
            drop((state, turn));
            context.pool.emit(&Event::ReloadFailed { problems: &problems });
            return Err(error);
        }
        let snapshot = context.pool.snapshot();
        context.metrics.retain(|id| snapshot.get(id).is_some());
        let epoch = before.epoch + 1;
        let settings = Settings::new(config, epoch, via, Some(&before), &context.env);
        let mut state = context.reload.lock();
        context.settings.store(Arc::new(settings));
        state.tried += 1;
        state.error = None;
        state.restart_required.clone_from(&restart_required);
        drop((state, turn));
        let event = Event::Reloaded { config_epoch: epoch, changes: &changes, restart_required: &restart_required };
        context.pool.emit(&event);
        Ok(Reloaded { config_epoch: epoch, changes, restart_required })
    }

    /// Reports that a new configuration could not be read, with its `problems`. The old one stays in force.
    pub fn refuse_reload(&self, problems: &str) {
        let mut state = self.context.reload.lock();
        state.tried += 1;
        state.error = Some(problems.to_owned());
        drop(state);
        self.context.pool.emit(&Event::ReloadFailed { problems });
    }

    /// Leaves the clients to another process that has the same listening socket, those who wait to be accepted too. Returns
    /// once none is accepted here any more; what is open goes on, and every response says that its connection closes.
    /// [`Proxy::ended`] waits for the end of it.
    pub async fn hand_over(&self) {
        let connections = &self.context.connections;
        connections.handed_over.fire();
        connections.closed.wait().await;
        connections.become_unready();
        self.context.pool.emit(&Event::DrainStarted { open: connections.open() });
    }

    /// Waits until the last connection has ended by itself. Nothing presses it, but the limits that it has in any case.
    pub async fn ended(&self) {
        self.context.connections.wait_for_fewer(1).await;
        self.context.pool.emit(&Event::Drained { reset: 0 });
    }

    /// Drains the proxy, and returns how many connections had to be reset.
    ///
    /// 1. /readyz answers 503 for `drain_delay`, while requests are still served.
    /// 2. The listener stops accepting; connections between requests are closed.
    /// 3. What still runs after `drain_timeout` is reset.
    pub async fn drain(&self) -> usize {
        let connections = &self.context.connections;
        let (delay, limit) = {
            let settings = self.context.settings.load();
            (settings.config.server.drain_delay, settings.config.server.drain_timeout)
        };
        connections.become_unready();
        self.context.pool.emit(&Event::DrainStarted { open: connections.open() });
        tokio::time::sleep(delay).await;
        connections.closing.fire();
        // Clients that were waiting in the kernel's queue have been accepted by then, and count as open.
        connections.closed.wait().await;
        if tokio::time::timeout(limit, connections.wait_for_fewer(1)).await.is_err() {
            connections.reset.fire();
            connections.wait_for_fewer(1).await;
        }
        let reset = connections.resets();
        self.context.pool.emit(&Event::Drained { reset });
        reset
    }
}

async fn listen_on<E: Env>(env: &E, address: SocketAddr, section: &'static str) -> Result<E::Listener, StartError> {
    env.bind(address).await.map_err(|error| StartError::Listen { section, address, error })
}

/// The pseudonym that `config` asks for in Via.
fn via(config: &Config, random: &str) -> Via {
    match &config.server.via {
        config::Via::Pseudonym(name) => Via::new(name.clone(), true),
        config::Via::Random => Via::new(random.to_owned(), true),
        config::Via::Off => Via::new(random.to_owned(), false),
    }
}
