//! A simulated engine starts, reloads and drains a proxy that runs in this process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy::env::Env;
use proxy::{Operator, Proxy, TunnelFilter};

use super::chance::Machine;
use super::env::SimEnv;
use super::host::SimulatedHost;
use crate::record::{ProxyEvent, Recorder, RecordingObserver, ScenarioEvent, What};
use crate::scenario::{ByHand, Chance, ConfigFile, HostName};
use crate::world::engine::{Engine, RunsProxy};

/// Holds the proxies that have started, each by its host.
pub(super) struct Proxies<E: Env>(Rc<RefCell<BTreeMap<HostName, Running<E>>>>);

/// A proxy that has started.
pub(super) struct Running<E: Env> {
    proxy: Arc<Proxy<E>>,
    env: E,
    recorder: Recorder,
}

impl<E: Env> Default for Proxies<E> {
    fn default() -> Self {
        Proxies(Rc::default())
    }
}

impl<E: Env> Proxies<E> {
    /// A task that starts a proxy on `host`. It has to run there.
    pub(super) fn start(
        &self,
        host: &HostName,
        file: &ConfigFile,
        env: E,
        recorder: Recorder,
    ) -> impl Future<Output = ()> + 'static {
        let (all, host, config) = (Rc::clone(&self.0), host.clone(), file.config.clone());
        async move {
            let observer = Arc::new(RecordingObserver { host: host.clone(), recorder: recorder.clone() });
            let started = match config {
                Ok(config) => Proxy::start(config, env.clone(), observer).await.map_err(|error| error.to_string()),
                Err(problems) => Err(problems),
            };
            match started {
                Ok(proxy) => {
                    recorder.write(&host, What::Proxy(ProxyEvent::Started { config_epoch: 1 }));
                    all.borrow_mut().insert(host, Running { proxy: Arc::new(proxy), env, recorder });
                }
                Err(what) => recorder.write(&host, What::Scenario(ScenarioEvent::Failed { what })),
            }
        }
    }

    /// A task that reloads the proxy on `host`. It has to run there.
    pub(super) fn reload(&self, host: &HostName, file: &ConfigFile) -> impl Future<Output = ()> + 'static {
        let (running, host, config) = (self.running(host), host.clone(), file.config.clone());
        async move {
            let Some((proxy, recorder)) = running else { return };
            match config {
                Ok(config) => {
                    if let Err(error) = proxy.reload(config) {
                        let what = ScenarioEvent::Failed { what: error.to_string() };
                        recorder.write(&host, What::Scenario(what));
                    }
                }
                Err(problems) => proxy.refuse_reload(&problems),
            }
        }
    }

    /// A task that steers the proxy on `host`. It has to run there.
    pub(super) fn steer(&self, host: &HostName, name: &str, order: ByHand) -> impl Future<Output = ()> + 'static {
        let (running, host, name) = (self.running(host), host.clone(), name.to_owned());
        async move {
            let Some((proxy, recorder)) = running else { return };
            if let Err(error) = proxy.steer(&name, order.order(), Operator { uid: 0, pid: None }) {
                recorder.write(&host, What::Scenario(ScenarioEvent::Failed { what: error.to_string() }));
            }
        }
    }

    /// A task that closes tunnels of the proxy on `host`. It has to run there.
    pub(super) fn close_tunnels(&self, host: &HostName, filter: TunnelFilter) -> impl Future<Output = ()> + 'static {
        let (running, host) = (self.running(host), host.clone());
        async move {
            let Some((proxy, recorder)) = running else { return };
            if let Err(error) = proxy.close_tunnels(&filter, Operator { uid: 0, pid: None }).await {
                recorder.write(&host, What::Scenario(ScenarioEvent::Failed { what: error.to_string() }));
            }
        }
    }

    /// A task that drains the proxy on `host`. It has to run there.
    pub(super) fn drain(&self, host: &HostName) -> impl Future<Output = ()> + 'static {
        let running = self.running(host);
        async move {
            if let Some((proxy, _)) = running {
                proxy.drain().await;
            }
        }
    }

    fn running(&self, host: &HostName) -> Option<(Arc<Proxy<E>>, Recorder)> {
        self.0.borrow().get(host).map(|running| (Arc::clone(&running.proxy), running.recorder.clone()))
    }

    /// Takes the proxy on `host` out. The result has to be dropped while that host is the current one.
    pub(super) fn take(&self, host: &HostName) -> Option<Running<E>> {
        self.0.borrow_mut().remove(host)
    }
}

/// An engine that runs the proxy's code in this process.
pub(super) trait InProcess: Engine<Host: SimulatedHost> {
    /// Where the engine holds its proxies.
    fn proxies(&self) -> &Proxies<SimEnv<Self::Host>>;

    /// What the scenario leaves to chance.
    fn chance(&self) -> &Chance;

    /// The host of that name, for a proxy.
    fn proxy_host(&self, host: &HostName) -> Self::Host;

    /// Drops what is left of the process of the proxy on `host`, while that host is the current one.
    fn drop_proxy(&mut self, host: &HostName);

    /// How many connections the programs of `host` hold.
    fn connections(&self, host: &HostName) -> usize;
}

impl<E: InProcess> RunsProxy for E {
    fn start_proxy(&mut self, host: &HostName, file: &ConfigFile, recorder: Recorder, seed: u64) {
        let machine = Machine::new(self.chance(), seed, host.clone(), recorder.clone());
        let env = SimEnv::new(self.proxy_host(host), self.wall(), seed, machine);
        let start = self.proxies().start(host, file, env, recorder);
        self.spawn(host, |_| start);
    }

    fn reload_proxy(&mut self, host: &HostName, file: &ConfigFile) {
        let reload = self.proxies().reload(host, file);
        self.spawn(host, |_| reload);
    }

    fn steer_proxy(&mut self, host: &HostName, name: &str, order: ByHand) {
        let steer = self.proxies().steer(host, name, order);
        self.spawn(host, |_| steer);
    }

    fn close_tunnels(&mut self, host: &HostName, filter: &TunnelFilter) {
        let close = self.proxies().close_tunnels(host, filter.clone());
        self.spawn(host, |_| close);
    }

    fn heal_machine(&mut self, host: &HostName) {
        if let Some(running) = self.proxies().0.borrow().get(host) {
            running.env.machine().heal();
        }
    }

    fn drain_proxy(&mut self, host: &HostName) {
        let drain = self.proxies().drain(host);
        self.spawn(host, |_| drain);
    }

    fn proxy_inside(&self, _: &HostName, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    fn proxy_works(&self, host: &HostName) -> bool {
        self.live_tasks(host) > 0
    }

    fn proxy_remains(&mut self, host: &HostName, kept: Duration) -> Vec<String> {
        // The proxy still holds idle connections to upstreams; the end of a process closes these.
        self.drop_proxy(host);
        self.wait(kept, |engine| !engine.proxy_works(host));
        let tasks = self.live_tasks(host);
        let connections = self.connections(host);
        let count = |number: usize, what: &str| (number > 0).then(|| format!("{number} {what} of the proxy"));
        [count(tasks, "tasks"), count(connections, "connections")].into_iter().flatten().collect()
    }
}
