//! Sets up a row: faulty upstreams on real sockets, and the configuration of the proxy in front of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use faulty_upstream::listen::{SocketListener, serve};
use faulty_upstream::{FaultyUpstream, Plan, plan};
use mock_upstreams::journal::{Entry, Event};
use mock_upstreams::{Journal, Settings};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::support;
use super::table::{Asks, Row};

/// Charged failures that eject.
pub(crate) const THRESHOLD: usize = 2;
/// A time-out that a row waits for, and within which a good upstream behind the faulty one has to do its work.
pub(crate) const SHORT: &str = "1s";
/// The same where nobody does any work.
pub(crate) const SHORTEST: &str = "50ms";

/// An upstream that does what its row says; gone when dropped.
pub(crate) struct Faulty {
    pub(crate) address: SocketAddr,
    upstream: Arc<FaultyUpstream>,
    _serving: JoinSet<()>,
}

impl Faulty {
    /// One that does `row`'s fault to everybody, from now on.
    pub(crate) async fn start(row: &Row) -> Self {
        let faulty = Self::follow(plan_of(row));
        if acts_on_the_listener(row) {
            faulty.listener_changed().await;
        }
        faulty
    }

    /// One without a fault as yet.
    pub(crate) fn sound() -> Self {
        Self::follow(Plan::default())
    }

    fn follow(plan: Plan) -> Self {
        let journal = Arc::new(Journal::new("faulty", Arc::new(|| SystemTime::UNIX_EPOCH), 1000, None));
        let listener = SocketListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let upstream = Arc::new(FaultyUpstream::new("faulty", Settings::default(), journal, plan));
        let mut serving = JoinSet::new();
        let served = serve(listener, Arc::clone(&upstream), std::future::pending());
        serving.spawn(async move { served.await.unwrap() });
        Faulty { address, upstream, _serving: serving }
    }

    /// How often the fault has struck.
    pub(crate) fn struck(&self) -> u64 {
        self.upstream.plan().entries().iter().map(|entry| entry.struck).sum()
    }

    /// From now on it is a good upstream.
    pub(crate) fn mend(&self) {
        self.change(Plan::default());
    }

    /// From now on it does `row`'s fault.
    pub(crate) fn spoil(&self, row: &Row) {
        self.change(plan_of(row));
    }

    fn change(&self, to: Plan) {
        let changed = self.upstream.change_plan(|plan| {
            *plan = to;
            Ok::<_, String>("by the test".to_owned())
        });
        changed.unwrap();
    }

    /// Waits until the listener stands as the fault wants it.
    async fn listener_changed(&self) {
        let journal = self.upstream.journal();
        let changed = |entry: &Entry| matches!(entry.event, Event::Listener { .. });
        journal.until(|_| journal.entries().iter().any(changed)).await;
    }
}

fn plan_of(row: &Row) -> Plan {
    let text = format!(r#"{{"seed": 1, "faults": [{{"fault": "{}", "with": {}}}]}}"#, row.fault, row.with);
    plan::parse(&text).unwrap_or_else(|problems| panic!("{}: {problems:?}", row.fault))
}

fn acts_on_the_listener(row: &Row) -> bool {
    let fault = faulty_upstream::Fault::named(row.fault).unwrap();
    fault.needs().contains(&"listener")
}

/// The proxy's configuration for a row: the first upstream is picked first as long as it is eligible.
pub(crate) fn config(row: &Row, asks: Asks, upstreams: &[SocketAddr], short: &str) -> Value {
    let mut config = support::config(upstreams);
    config["upstream_proxies"][0]["weight"] = 10_000.into();
    // A back-off that is over at once lets the mended upstream show that it comes back.
    config["health_check"] = json!({
        "failure_threshold": THRESHOLD, "backoff_base": "1ms", "backoff_max": "10ms", "timeout_seconds": 1
    });
    config["timeouts"] = json!({ "pool_idle": short });
    if let Some(waits) = row.waits {
        config["timeouts"][waits] = short.into();
    }
    // Kept connections would hide those that are left behind. But where none is kept, each request says `Connection: close`,
    // and the upstream would end the reply that this fault leaves without an end.
    let keeps = asks == Asks::GetTwice || row.fault == "reply-first";
    config["limits"] = json!({ "pool_per_upstream": u8::from(keeps) });
    config
}
