//! Serves one connection to a faulty upstream, which is a mock with a plan.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mock_upstreams::journal::{Event, Outcome};
use mock_upstreams::stream::pause;
use mock_upstreams::upstream::tunnel::{ESTABLISHED, serve as good_tunnel};
use mock_upstreams::upstream::{AfterHttp, Settings};
use mock_upstreams::{Client, Decision, Form, Interceptor, Journal, ProxyRequest, Target, Upstream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::play::play;
use super::tls::Tls;
use super::tunnel;
use crate::effect::listener::ListenerOrder;
use crate::effect::reply::{Reply, Then};
use crate::io::Duplex;
use crate::plan::{Plan, RequestFaults};

/// An upstream with a fault plan. The plan can be changed while it runs.
pub struct FaultyUpstream {
    mock: Upstream,
    tls: Option<Tls>,
    plan: Mutex<Plan>,
    /// The moment from which `from`, `until` and all schedules are counted.
    started: Mutex<Instant>,
    plan_changed: Notify,
    killed: Notify,
}

impl FaultyUpstream {
    /// Makes an upstream called `name`, which follows `plan` from now on and writes into `journal`.
    pub fn new(name: &str, settings: Settings, journal: Arc<Journal>, plan: Plan) -> Self {
        FaultyUpstream {
            mock: Upstream::new(name, settings, journal),
            tls: None,
            plan: Mutex::new(plan),
            started: Mutex::new(Instant::now()),
            plan_changed: Notify::new(),
            killed: Notify::new(),
        }
    }

    /// The same, but it speaks TLS, with a certificate for `name` that the authority of
    /// [`authority_pem`](mock_upstreams::tls::authority_pem) has signed.
    ///
    /// # Errors
    /// No certificate can carry the name.
    pub fn over_tls(self, name: &str) -> io::Result<Self> {
        Ok(FaultyUpstream { tls: Some(Tls::new(name)?), ..self })
    }

    /// The upstream's name. It goes into every draw.
    pub fn name(&self) -> &str {
        self.mock.name()
    }

    /// The journal of everything that the upstream saw and did.
    pub fn journal(&self) -> &Arc<Journal> {
        self.mock.journal()
    }

    /// Counts the times of the plan from now on, where what they are meant for begins later than the upstream was made.
    pub fn begin(&self) {
        *self.started.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.plan_changed.notify_waiters();
    }

    fn started(&self) -> Instant {
        *self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        self.started().elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the plan as it is now, with its counters.
    pub fn plan(&self) -> Plan {
        self.lock().clone()
    }

    /// Changes the plan in one step: whatever comes next meets all of `change` or, if it fails, nothing of it. The text
    /// that `change` returns says what was changed, and goes into the journal.
    ///
    /// # Errors
    /// Those of `change`. The plan stays as it was.
    pub fn change_plan<E>(&self, change: impl FnOnce(&mut Plan) -> Result<String, E>) -> Result<String, E> {
        let mut plan = self.lock();
        let mut changed = plan.clone();
        let text = change(&mut changed)?;
        changed.stamp_armed(&plan, self.elapsed());
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
        // A dead upstream drops what it serves: the streams are closed as those of a killed process are.
        tokio::select! {
            biased;
            () = self.killed.notified() => {}
            () = self.serve_until_closed(stream, connect) => {}
        }
    }

    async fn serve_until_closed<S, C, F, T>(&self, stream: S, connect: C)
    where
        S: Duplex,
        C: Fn(Target) -> F,
        F: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = stream.peer();
        let mut client = self.mock.accept(stream, peer);
        let struck = self.lock().on_connection(self.name(), self.elapsed(), client.connection());
        let reply = struck.map(|(label, reply)| {
            client.note_fault(&label);
            reply
        });
        let Some(tls) = &self.tls else { return self.speak(client, reply, connect).await };
        // What a fault does without a word comes before the session, and what it says comes within.
        let (before, within) = if reply.as_ref().is_some_and(Reply::is_silent) { (reply, None) } else { (None, reply) };
        if let Some(reply) = before {
            match play(client, reply).await {
                Some(alive) => client = alive,
                None => return,
            }
        }
        let struck = self.lock().on_handshake(self.name(), self.elapsed(), client.connection());
        let fault = struck.map(|(label, fault)| {
            client.note_fault(&label);
            fault
        });
        if let Some(client) = tls.shake_hands(client, fault).await {
            // Boxed: most upstreams speak no TLS, and would hold its state as well.
            Box::pin(self.speak(client, within, connect)).await;
        }
    }

    /// Serves a connection on which HTTP is spoken from here on, with `first` in front of it.
    async fn speak<S, C, F, T>(&self, mut client: Client<S>, first: Option<Reply>, connect: C)
    where
        S: Duplex,
        C: Fn(Target) -> F,
        F: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut answered = false;
        if let Some(reply) = first {
            answered = reply.then == Then::GoOnAnswered;
            match play(client, reply).await {
                Some(alive) => client = alive,
                None => return,
            }
        }
        loop {
            match self.mock.speak_http(client, &connect, &PlanInterceptor { upstream: self, answered }).await {
                AfterHttp::Closed => return,
                AfterHttp::Tunnel(client, request) => {
                    return good_tunnel(client, &request, &connect, self.name()).await;
                }
                AfterHttp::Intercepted(mut faulted, request, faults) => {
                    pause(self.mock.latency() + faults.delay).await;
                    if let Some(record) = faulted.record() {
                        record.faults = faults.labels;
                    }
                    let reply = faults.reply.unwrap_or_else(|| {
                        let head = if answered { b"" } else { ESTABLISHED };
                        Reply::new(Some(200), head, Then::Tunnel)
                    });
                    if reply.opens_tunnel() {
                        let effects = faults.effects.unwrap_or_default();
                        return tunnel::serve(faulted, &request, reply, effects, &connect, self.name()).await;
                    }
                    if let Some(record) = faulted.record() {
                        record.status = reply.status;
                        record.outcome = Outcome::Faulted;
                    }
                    match play(faulted, reply).await {
                        Some(alive) => client = alive,
                        None => return,
                    }
                    client.end_request();
                }
            }
        }
    }

    /// Waits until the plan asks for another state of the listener than `current`. Cancel safe.
    pub(crate) async fn listener_change(&self, current: &ListenerOrder) -> ListenerOrder {
        loop {
            let changed = self.plan_changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Registered before the plan is read, so that a change in between is not missed.
            changed.as_mut().enable();
            let (wanted, until) = self.lock().on_listener(self.elapsed());
            if (wanted.state, wanted.dead) != (current.state, current.dead) {
                return wanted;
            }
            let next = async {
                match until.and_then(|until| self.started().checked_add(until)) {
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

    /// Notes that the listener is in the state that `order` asks for, and drops the connections of a dead upstream.
    pub(crate) fn listener_changed(&self, order: &ListenerOrder) {
        self.lock().count_strikes(&order.faults);
        self.journal().write(Event::Listener { state: order.state.name(), faults: order.faults.clone() });
        if order.dead {
            self.killed.notify_waiters();
        }
    }
}

/// Lets the plan decide about the mock's requests.
struct PlanInterceptor<'a> {
    upstream: &'a FaultyUpstream,
    /// Whether the next CONNECT has been answered already.
    answered: bool,
}

impl Interceptor for PlanInterceptor<'_> {
    type Intercepted = RequestFaults;

    fn decide(&self, request: &ProxyRequest) -> Decision<RequestFaults> {
        let upstream = self.upstream;
        let faults = upstream.lock().on_request(upstream.name(), upstream.elapsed(), request);
        let tunnel = request.form == Form::Connect && request.admitted && (self.answered || faults.effects.is_some());
        if faults.reply.is_some() || tunnel {
            Decision::Intercept(faults)
        } else {
            Decision::Serve { delay: faults.delay, faults: faults.labels }
        }
    }
}
