//! Sets up a row: faulty upstreams on real sockets, and the configuration of the proxy in front of them.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use faulty_upstream::fault::Strikes;
use faulty_upstream::listen::{SocketListener, serve};
use faulty_upstream::{Fault, FaultyUpstream, Plan, plan};
use mock_upstreams::journal::{Entry, Event};
use mock_upstreams::{Journal, Settings, tls};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::support;
use super::table::{Asks, Row};

/// Charged failures that eject.
pub(crate) const THRESHOLD: usize = 2;
/// A time-out that a row waits for, and within which a good upstream behind the faulty one has to do its work.
pub(crate) const SHORT: &str = "1s";
/// The same where nobody does any work.
pub(crate) const SHORTEST: &str = "200ms";

/// An upstream that does what its row says; gone when dropped.
pub(crate) struct Faulty {
    address: SocketAddr,
    tls: bool,
    upstream: Arc<FaultyUpstream>,
    _serving: JoinSet<()>,
}

impl Faulty {
    /// One that does `row`'s fault to everybody, from now on.
    pub(crate) async fn start(row: &Row) -> Self {
        let strikes = Fault::named(row.fault).unwrap().strikes();
        let faulty = Self::follow(plan_of(row), strikes == Strikes::Handshakes);
        if strikes == Strikes::Listener {
            faulty.listener_changed().await;
        }
        faulty
    }

    /// One without a fault as yet.
    pub(crate) fn sound() -> Self {
        Self::follow(Plan::default(), false)
    }

    fn follow(plan: Plan, tls: bool) -> Self {
        let journal = Arc::new(Journal::new("faulty", Arc::new(|| SystemTime::UNIX_EPOCH), 1000, None));
        let listener = SocketListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let mut upstream = FaultyUpstream::new("faulty", Settings::default(), journal, plan);
        if tls {
            upstream = upstream.over_tls(&address.ip().to_string()).unwrap();
        }
        let upstream = Arc::new(upstream);
        let mut serving = JoinSet::new();
        let served = serve(listener, Arc::clone(&upstream), std::future::pending());
        serving.spawn(async move { served.await.unwrap() });
        Faulty { address, tls, upstream, _serving: serving }
    }

    /// It, as the proxy's configuration names it.
    pub(crate) fn entry(&self) -> Value {
        if self.tls {
            json!({ "url": format!("https://{}", self.address), "tls": { "ca_file": authority() } })
        } else {
            plain(self.address)
        }
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

/// An upstream that speaks no TLS, as the proxy's configuration names it.
pub(crate) fn plain(address: SocketAddr) -> Value {
    json!({ "url": format!("http://{address}") })
}

/// The file with the authority of doubles.
fn authority() -> &'static str {
    static FILE: OnceLock<String> = OnceLock::new();
    FILE.get_or_init(|| {
        let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/doubles.pem");
        std::fs::write(file, tls::authority_pem().unwrap()).unwrap();
        file.to_owned()
    })
}

/// The proxy's configuration for a row: the first upstream is picked first as long as it is eligible.
pub(crate) fn config(row: &Row, asks: Asks, upstreams: &[Value], short: &str) -> Value {
    let mut config = support::config(&[]);
    config["upstream_proxies"] = upstreams.into();
    config["upstream_proxies"][0]["weight"] = 10_000.into();
    // A back-off that is over at once lets the mended upstream show that it comes back.
    config["health_check"] = json!({
        "failure_threshold": THRESHOLD, "backoff_base": "1ms", "backoff_max": "10ms", "timeout_seconds": 1
    });
    // A row ends with its proxy, whatever it has left open: a probe that came behind the row would meet whoever was given the port
    // of its upstream since.
    config["server"]["drain_timeout"] = "0s".into();
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
