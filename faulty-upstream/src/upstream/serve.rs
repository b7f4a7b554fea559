//! One faulty upstream: a mock, a plan, and the playing of what the plan decides.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mock_upstreams::journal::{Event, Outcome};
use mock_upstreams::stream::pause;
use mock_upstreams::upstream::tunnel::{ESTABLISHED, serve as good_tunnel};
use mock_upstreams::upstream::{Handed, Settings};
use mock_upstreams::{Asked, Decision, Form, Journal, Script, Target, Upstream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::play::play;
use super::tunnel;
use crate::effect::listener::Standing;
use crate::effect::reply::{Reply, Then};
use crate::io::Duplex;
use crate::plan::{Chosen, Plan};

/// An upstream with a fault plan.
pub struct FaultyUpstream {
    mock: Upstream,
    plan: Mutex<Plan>,
    /// Zero of `from`, `until` and every schedule.
    started: Instant,
    plan_changed: Notify,
    died: Notify,
}

impl FaultyUpstream {
    /// An upstream called `name` that follows `plan` from now on and writes into `journal`.
    pub fn new(name: &str, settings: Settings, journal: Arc<Journal>, plan: Plan) -> Self {
        FaultyUpstream {
            mock: Upstream::new(name, settings, journal),
            plan: Mutex::new(plan),
            started: Instant::now(),
            plan_changed: Notify::new(),
            died: Notify::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.mock.name()
    }

    /// The mock underneath.
    pub fn mock(&self) -> &Upstream {
        &self.mock
    }

    /// What it wrote down.
    pub fn journal(&self) -> &Arc<Journal> {
        self.mock.journal()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan as it is, with its counters.
    pub fn plan(&self) -> Plan {
        self.lock().clone()
    }

    /// Changes the plan in one step: either all of `change` holds for whatever comes next, or nothing. The journal says
    /// what changed.
    ///
    /// # Errors
    /// Those of `change`; the plan is as it was then.
    pub fn change_plan<E>(&self, change: impl FnOnce(&mut Plan) -> Result<String, E>) -> Result<String, E> {
        let mut plan = self.lock();
        let mut changed = plan.clone();
        let text = change(&mut changed)?;
        changed.stamp(&plan, self.elapsed());
        *plan = changed;
        drop(plan);
        self.journal().write(Event::Plan { change: text.clone() });
        self.plan_changed.notify_waiters();
        Ok(text)
    }

    /// Serves one connection to its end. `connect` reaches targets that are not built in.
    pub async fn serve<S, C, F, T>(&self, stream: S, connect: C)
    where
        S: Duplex,
        C: Fn(Target) -> F,
        F: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // A death drops what is being served: the streams are closed as those of a killed process are.
        tokio::select! {
            biased;
            () = self.died.notified() => {}
            () = self.serve_alive(stream, connect) => {}
        }
    }

    async fn serve_alive<S, C, F, T>(&self, stream: S, connect: C)
    where
        S: Duplex,
        C: Fn(Target) -> F,
        F: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut client = self.mock.accept(stream);
        let mut answered = false;
        let struck = self.lock().on_connection(self.name(), self.elapsed(), client.connection());
        if let Some((label, reply)) = struck {
            client.note_fault(&label);
            answered = reply.then == Then::GoOnAnswered;
            match play(client, reply).await {
                Some(alive) => client = alive,
                None => return,
            }
        }
        loop {
            match self.mock.speak_http(client, &connect, &Planned { upstream: self, answered }).await {
                Handed::Over => return,
                Handed::Tunnel(client, asked) => return good_tunnel(client, &asked, &connect, self.name()).await,
                Handed::Taken(mut taken, asked, chosen) => {
                    pause(self.mock.latency() + chosen.delay).await;
                    if let Some(record) = taken.record() {
                        record.faults = chosen.labels;
                    }
                    let reply = chosen.reply.unwrap_or_else(|| {
                        let said = if answered { b"" } else { ESTABLISHED };
                        Reply::new(Some(200), said, Then::Tunnel)
                    });
                    if reply.opens_tunnel() {
                        let effects = chosen.effects.unwrap_or_default();
                        return tunnel::serve(taken, &asked, reply, effects, &connect, self.name()).await;
                    }
                    if let Some(record) = taken.record() {
                        record.status = reply.status;
                        record.outcome = Outcome::Faulted;
                    }
                    match play(taken, reply).await {
                        Some(alive) => client = alive,
                        None => return,
                    }
                    client.end_request();
                }
            }
        }
    }

    /// Waits until the plan wants the listener to stand otherwise than `now`. Cancel safe.
    pub async fn listener_change(&self, now: &Standing) -> Standing {
        loop {
            let changed = self.plan_changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Registered before the plan is read, so that a change in between is not missed.
            changed.as_mut().enable();
            let (wanted, until) = self.lock().on_listener(self.elapsed());
            if (wanted.state, wanted.dead) != (now.state, now.dead) {
                return wanted;
            }
            let next = async {
                match until.and_then(|until| self.started.checked_add(until)) {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = next => {}
            }
        }
    }

    /// Writes down that the listener stands as `standing` says, and lets the connections of a dead upstream go.
    pub fn listener_changed(&self, standing: &Standing) {
        self.lock().struck(&standing.faults);
        self.journal().write(Event::Listener { state: standing.state.name(), faults: standing.faults.clone() });
        if standing.dead {
            self.died.notify_waiters();
        }
    }
}

/// The plan as the mock's script.
struct Planned<'a> {
    upstream: &'a FaultyUpstream,
    /// The next CONNECT has had its reply already.
    answered: bool,
}

impl Script for Planned<'_> {
    type Taken = Chosen;

    fn decide(&self, asked: &Asked) -> Decision<Chosen> {
        let upstream = self.upstream;
        let chosen = upstream.lock().on_request(upstream.name(), upstream.elapsed(), asked);
        let tunnel = asked.form == Form::Connect && asked.admitted && (self.answered || chosen.effects.is_some());
        if chosen.reply.is_some() || tunnel {
            Decision::Take(chosen)
        } else {
            Decision::Serve { delay: chosen.delay, faults: chosen.labels }
        }
    }
}
