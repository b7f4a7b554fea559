//! The proxy's code in the simulator's own process, as simulated engines run it.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use proxy::Proxy;
use proxy::env::Env;

use super::HostName;
use crate::configuration::ConfigFile;
use crate::scenario::PROXY;
use crate::trace::{ProxyEvent, ProxyWitness, Recorder, ScenarioEvent, What};

/// The process of a proxy, or none.
pub(super) struct InProcess<E: Env>(Rc<RefCell<Option<Running<E>>>>);

/// A process.
pub(super) struct Running<E: Env> {
    proxy: Arc<Proxy<E>>,
    recorder: Recorder,
}

impl<E: Env> Default for InProcess<E> {
    fn default() -> Self {
        InProcess(Rc::default())
    }
}

impl<E: Env> InProcess<E> {
    /// What starts a proxy, to be run on its host.
    pub(super) fn start(&self, file: &ConfigFile, env: E, recorder: Recorder) -> impl Future<Output = ()> + 'static {
        let (slot, config) = (Rc::clone(&self.0), file.config.clone());
        async move {
            let host = HostName::new(PROXY);
            let observer = Arc::new(ProxyWitness { host: host.clone(), recorder: recorder.clone() });
            let started = match config {
                Ok(config) => Proxy::start(config, env, observer).await.map_err(|error| error.to_string()),
                Err(problems) => Err(problems),
            };
            match started {
                Ok(proxy) => {
                    recorder.write(&host, What::Proxy(ProxyEvent::Started { epoch: 1 }));
                    *slot.borrow_mut() = Some(Running { proxy: Arc::new(proxy), recorder });
                }
                Err(what) => recorder.write(&host, What::Scenario(ScenarioEvent::Failed { what })),
            }
        }
    }

    /// What makes the proxy look at its file again, to be run on its host.
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

    /// What makes the proxy stop, to be run on its host.
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

    /// What goes with the process at its end; to be dropped as its host.
    pub(super) fn take(&self) -> Option<Running<E>> {
        self.0.borrow_mut().take()
    }
}
