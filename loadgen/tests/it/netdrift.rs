//! Runs the proxy in this process, in front of upstreams.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use proxy::core::time::Timestamp;
use proxy::env::os::Os;
use proxy::event::{Event, Observer};
use proxy::testing::Nowhere;
use serde_json::json;
use tokio::sync::oneshot;

use super::support::{self, WATCHDOG};

/// A running proxy, until it is dropped.
pub(crate) struct Netdrift {
    pub(crate) address: String,
    changes: mpsc::Receiver<&'static str>,
    _stop: oneshot::Sender<()>,
}

/// Tells when the victim goes out of rotation, by a suspicion or an ejection, and when it comes back.
struct Health {
    changes: Mutex<mpsc::Sender<&'static str>>,
    out: AtomicBool,
}

impl Observer for Health {
    fn on(&self, _: Timestamp, event: &Event<'_>) {
        let (out, word) = match event {
            Event::Suspected { .. } | Event::Ejected { .. } => (true, "ejected"),
            Event::Recovered { .. } => (false, "recovered"),
            _ => return,
        };
        // An ejection that confirms a suspicion changes nothing.
        if self.out.swap(out, Ordering::Relaxed) != out {
            // Nobody may be listening any more.
            let _ = self.changes.lock().unwrap().send(word);
        }
    }
}

impl Netdrift {
    /// One in front of `upstreams`, addresses with weights. It is quick to give up and to try again.
    pub(crate) fn before(upstreams: &[(&str, u32)]) -> Self {
        let member = |(address, weight): &(&str, u32)| json!({ "url": format!("http://{address}"), "weight": weight });
        let config = json!({
            "server": { "listen_address": "127.0.0.1:0", "pid_file": "" },
            "upstream_proxies": upstreams.iter().map(member).collect::<Vec<_>>(),
            "health_check": { "backoff_base": "100ms", "backoff_max": "200ms" },
            "timeouts": { "reply": "300ms" },
        });
        let config = proxy::config::parse("test.json", config.to_string().as_bytes(), &Nowhere)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let (changed, changes) = mpsc::channel();
        let health = Arc::new(Health { changes: Mutex::new(changed), out: AtomicBool::new(false) });
        let (address, stop) = support::serve(async move |tell, stopped| {
            let proxy = proxy::Proxy::start(config, Os::new(), health).await.unwrap();
            tell(proxy.local_addr());
            stopped.await;
        });
        Netdrift { address, changes, _stop: stop }
    }

    /// Waits for the next change of health: "ejected" or "recovered".
    pub(crate) fn change(&self) -> &'static str {
        self.changes.recv_timeout(WATCHDOG).unwrap()
    }
}
