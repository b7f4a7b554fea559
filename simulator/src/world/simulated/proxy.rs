//! A simulated engine starts, reloads and drains a proxy that runs in this process.

use std::cell::RefCell;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy::Proxy;
use proxy::env::Env;

use super::chance::Machine;
use super::env::SimEnv;
use super::host::SimulatedHost;
use crate::record::{ProxyEvent, Recorder, RecordingObserver, ScenarioEvent, What};
use crate::scenario::{Chance, ConfigFile, HostName, PROXY};
use crate::world::engine::{Engine, RunsProxy};

/// Holds the proxy. It is empty until a proxy has started.
pub(super) struct ProxySlot<E: Env>(Rc<RefCell<Option<Running<E>>>>);

/// A proxy that has started.
pub(super) struct Running<E: Env> {
    proxy: Arc<Proxy<E>>,
    env: E,
    recorder: Recorder,
}

impl<E: Env> Default for ProxySlot<E> {
    fn default() -> Self {
        ProxySlot(Rc::default())
    }
}

impl<E: Env> ProxySlot<E> {
    /// A task that starts the proxy. It has to run on the proxy's host.
    pub(super) fn start(&self, file: &ConfigFile, env: E, recorder: Recorder) -> impl Future<Output = ()> + 'static {
        let (slot, config) = (Rc::clone(&self.0), file.config.clone());
        async move {
            let host = HostName::new(PROXY);
            let observer = Arc::new(RecordingObserver { host: host.clone(), recorder: recorder.clone() });
            let started = match config {
                Ok(config) => Proxy::start(config, env.clone(), observer).await.map_err(|error| error.to_string()),
                Err(problems) => Err(problems),
            };
            match started {
                Ok(proxy) => {
                    recorder.write(&host, What::Proxy(ProxyEvent::Started { config_epoch: 1 }));
                    *slot.borrow_mut() = Some(Running { proxy: Arc::new(proxy), env, recorder });
                }
                Err(what) => recorder.write(&host, What::Scenario(ScenarioEvent::Failed { what })),
            }
        }
    }

    /// A task that reloads the proxy. It has to run on the proxy's host.
    pub(super) fn reload(&self, file: &ConfigFile) -> impl Future<Output = ()> + 'static {
        let (running, config) = (self.running(), file.config.clone());
        async move {
            let Some((proxy, recorder)) = running else { return };
            match config {
                Ok(config) => {
                    if let Err(error) = proxy.reload(config) {
                        let what = ScenarioEvent::Failed { what: error.to_string() };
                        recorder.write(&HostName::new(PROXY), What::Scenario(what));
                    }
                }
                Err(problems) => proxy.refuse_reload(&problems),
            }
        }
    }

    /// A task that drains the proxy. It has to run on the proxy's host.
    pub(super) fn drain(&self) -> impl Future<Output = ()> + 'static {
        let running = self.running();
        async move {
            if let Some((proxy, _)) = running {
                proxy.drain().await;
            }
        }
    }

    fn running(&self) -> Option<(Arc<Proxy<E>>, Recorder)> {
        self.0.borrow().as_ref().map(|running| (Arc::clone(&running.proxy), running.recorder.clone()))
    }

    /// Takes the proxy out. The result has to be dropped while the proxy's host is the current one.
    pub(super) fn take(&self) -> Option<Running<E>> {
        self.0.borrow_mut().take()
    }
}

/// An engine that runs the proxy's code in this process.
pub(super) trait InProcess: Engine<Host: SimulatedHost> {
    /// Where the engine holds its proxy.
    fn slot(&self) -> &ProxySlot<SimEnv<Self::Host>>;

    /// What the scenario leaves to chance.
    fn chance(&self) -> &Chance;

    /// The proxy's host.
    fn proxy_host(&self) -> Self::Host;

    /// Drops `left`, which is left of the proxy's process, while the proxy's host is the current one.
    fn drop_proxy(&mut self);

    /// How many connections the proxy's host holds.
    fn proxy_connections(&self) -> usize;
}

impl<E: InProcess> RunsProxy for E {
    fn start_proxy(&mut self, file: &ConfigFile, recorder: Recorder, seed: u64) {
        let machine = Machine::new(self.chance(), seed, recorder.clone());
        let env = SimEnv::new(self.proxy_host(), self.wall(), seed, machine);
        let start = self.slot().start(file, env, recorder);
        self.spawn(&HostName::new(PROXY), |_| start);
    }

    fn reload_proxy(&mut self, file: &ConfigFile) {
        let reload = self.slot().reload(file);
        self.spawn(&HostName::new(PROXY), |_| reload);
    }

    fn heal_machine(&mut self) {
        if let Some(running) = self.slot().0.borrow().as_ref() {
            running.env.machine().heal();
        }
    }

    fn drain_proxy(&mut self) {
        let drain = self.slot().drain();
        self.spawn(&HostName::new(PROXY), |_| drain);
    }

    fn proxy_inside(&self, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    fn proxy_works(&self) -> bool {
        self.live_tasks(&HostName::new(PROXY)) > 0
    }

    fn proxy_remains(&mut self, kept: Duration) -> Vec<String> {
        // The proxy still holds idle connections to upstreams; the end of a process closes these.
        self.drop_proxy();
        self.wait(kept, |engine| !engine.proxy_works());
        let tasks = self.live_tasks(&HostName::new(PROXY));
        let connections = self.proxy_connections();
        let count = |number: usize, what: &str| (number > 0).then(|| format!("{number} {what} of the proxy"));
        [count(tasks, "tasks"), count(connections, "connections")].into_iter().flatten().collect()
    }
}
