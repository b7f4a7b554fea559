//! A made-up scenario begins with a network, upstreams with their faults, and a configuration of the proxy.

use serde_json::{Value as Json, json};

use super::draw::Feature::*;
use super::draw::{Draw, FIRST, HASH, LONG_REPLY, NAME, PASSWORD};

impl Draw {
    pub(super) fn network(&mut self) -> Json {
        let mut network = json!({});
        if self.has(Latency) {
            // Without any, a client may ask at the very instant at which the proxy starts, and before it listens.
            network["latency"] = json!(format!("{}ms", self.number(0, 40).max(1)));
        }
        if self.has(Jitter) {
            network["jitter"] = json!(format!("{}ms", self.number(1, 60)));
        }
        if self.has(Loss) {
            network["loss"] = json!(self.number(1, 30) as f64 / 1000.0);
        }
        if self.has(Bandwidth) {
            // Enough for all clients at once: too little of it would be a fault that nobody is to blame for.
            network["bytes_per_second"] = json!(self.number(20_000_000, 100_000_000));
        }
        // A run costs as much as it has steps in which something moves.
        let tick = if self.has(FineTick) { 1 } else { self.number(3, 6) };
        network["tick"] = json!(format!("{tick}ms"));
        if self.has(Names) {
            network["dns"] = json!({ NAME: [FIRST] });
        }
        network
    }

    /// What is left to chance. The order of tasks, spurious wake-ups and short reads and writes always are.
    pub(super) fn chance(&mut self) -> Json {
        let mut chance = json!({});
        let mut share = |draw: &mut Draw, field: &str, hundredths: u64| {
            chance[field] = json!(draw.number(1, hundredths) as f64 / 100.0);
        };
        for (feature, field, most) in [
            (AcceptErrors, "accept_errors", 20),
            (DnsFailures, "dns_failures", 15),
            (ManyAddresses, "dns_addresses", 100),
            (BusyOffload, "offload_busy", 10),
        ] {
            if self.has(feature) {
                share(self, field, most);
            }
        }
        for (feature, field, most) in [(SlowDns, "dns_delay", 500), (SlowOffload, "offload_delay", 400)] {
            if self.has(feature) {
                chance[field] = json!(format!("{}ms", self.number(1, most)));
            }
        }
        if self.has(FewDescriptors) {
            chance["descriptors"] = json!(self.number(8, 60));
        }
        chance
    }

    /// An upstream that is left alone.
    pub(super) fn sound(&mut self, name: &str) -> Json {
        let mut upstream = json!({ "name": name });
        if self.has(TlsUpstreams) && self.once_in(3) {
            upstream["tls"] = json!(true);
        }
        self.may_end_idle_connections(&mut upstream);
        upstream
    }

    /// Some close connections earlier than the proxy would.
    fn may_end_idle_connections(&mut self, upstream: &mut Json) {
        if self.has(WarmConnections) && self.once_in(2) {
            upstream["idle_timeout"] = json!(format!("{}ms", self.number(500, 5000)));
        }
    }

    /// An upstream that may go wrong.
    pub(super) fn upstream(&mut self, name: &str) -> Json {
        let mut upstream = json!({ "name": name });
        let tls = self.has(TlsUpstreams) && !self.once_in(3);
        if tls {
            upstream["tls"] = json!(true);
        }
        if self.has(SlowUpstreams) && self.once_in(2) {
            upstream["latency"] = json!(format!("{}ms", self.number(1, 300)));
        }
        self.may_end_idle_connections(&mut upstream);
        if self.has(UpstreamAuth) && self.once_in(2) {
            upstream["auth"] = json!(format!("{name}:secret-of-{name}"));
        }
        let mut faults = Vec::new();
        if self.has(Faults) && self.once_in(2) {
            faults.push(self.fault(tls));
        }
        let ambush = self.has(Ambush);
        if ambush || (self.has(Arming) && self.once_in(2)) {
            let mut fault = self.fault(tls);
            if ambush {
                // It strikes whatever comes while it is armed.
                fault["when"] = json!({});
            }
            fault["id"] = json!("later");
            fault["armed"] = json!(false);
            faults.push(fault);
        }
        if !faults.is_empty() {
            upstream["plan"] = json!({ "faults": faults });
        }
        upstream
    }

    /// The host in the URL of the entry that leads to the upstream `name` at first.
    pub(super) fn host_of_entry<'a>(&self, name: &'a str) -> &'a str {
        if self.has(Names) && name == FIRST { NAME } else { name }
    }

    pub(super) fn proxy(&mut self, upstreams: &[Json]) -> Json {
        let entries: Vec<Json> = (upstreams.iter().enumerate())
            .map(|(index, upstream)| {
                let last = index + 1 == upstreams.len();
                let name = upstream["name"].as_str().unwrap_or_default();
                let host = self.host_of_entry(name);
                let user = match upstream["auth"].as_str() {
                    // Now and then the wrong one.
                    Some(_) if self.once_in(4) => format!("{name}:guessing@"),
                    Some(pair) => format!("{pair}@"),
                    None => String::new(),
                };
                let scheme = if upstream["tls"] == true { "https" } else { "http" };
                let mut entry = json!({ "url": format!("{scheme}://{user}{host}:8080") });
                if self.has(Weights) {
                    entry["weight"] = json!(self.number(1, 5));
                }
                if self.has(WeightZero) && !last && self.once_in(3) {
                    entry["weight"] = json!(0);
                }
                if self.has(Disabled) && !last && self.once_in(3) {
                    entry["enabled"] = json!(false);
                }
                if self.has(WarmConnections) && !self.once_in(4) {
                    let max_age = format!("{}ms", self.number(200, 8000));
                    entry["warm_connections"] = json!({ "max": self.size(32), "max_age": max_age });
                }
                entry
            })
            .collect();
        let mut health = json!({
            "failure_threshold": self.number(1, 4),
            "backoff_base": format!("{}s", self.number(1, 5)),
            "backoff_max": format!("{}s", self.number(5, 15)),
        });
        if self.has(Checks) {
            health["enabled"] = json!(true);
            health["interval_seconds"] = json!(self.number(1, 5));
            // A second is too little where packets are lost twice, and nobody would be to blame.
            health["timeout_seconds"] = json!(self.number(2, 5));
            health["endpoints"] = json!(["echo.mock:80"]);
        }
        let mut proxy = json!({
            "upstream_proxies": entries, "health_check": health,
            "timeouts": {
                "connect": "2s", "reply": "3s", "half_closed": format!("{}s", self.number(3, 12)), "dns": "2s",
            },
            "server": { "drain_timeout": format!("{}s", self.number(1, 20)) },
        });
        if self.has(SilentTunnels) {
            proxy["timeouts"]["idle_tunnel"] = json!(format!("{}s", self.number(3, 6)));
        }
        if self.has(ReloadTimeouts) {
            // Reloads shorten it, and then it matters by how much.
            proxy["timeouts"]["reply"] = json!(LONG_REPLY);
        }
        if self.has(MaxAttempts) {
            proxy["failover"] = json!({ "max_attempts": self.number(1, 3) });
        } else if upstreams.len() > 3 && !self.once_in(8) {
            // The default may end before the one that is left alone.
            proxy["failover"] = json!({ "max_attempts": upstreams.len() });
        }
        if self.has(Limit) {
            proxy["limits"] = json!({ "max_connections": self.number(24, 64) });
            // A page that never ends keeps the place of a client that has gone, and nobody but the proxy knows for how long.
            proxy["timeouts"]["body"] = json!("2s");
        }
        if self.has(Abuse) {
            proxy["timeouts"]["header"] = json!(format!("{}s", self.number(1, 5)));
            proxy["timeouts"]["body"] = json!("3s");
            proxy["timeouts"]["keep_alive"] = json!("4s");
        }
        if self.has(Ambush) {
            // Clients come, and who is out is probed, while it already drains.
            proxy["server"]["drain_delay"] = json!("4s");
            proxy["health_check"]["backoff_base"] = json!("2s");
        } else if self.has(Pages) && self.has(Drain) {
            proxy["server"]["drain_delay"] = json!(format!("{}s", self.number(0, 5)));
        }
        if self.has(ClientAuth) {
            // Only a hash is checked off the runtime's threads.
            let password = if self.has(SlowOffload) || self.has(BusyOffload) { HASH } else { PASSWORD };
            let users = json!([{ "username": "alice", "password": password }]);
            proxy["authentication"] = json!({ "enabled": true, "users": users });
        }
        if self.has(TightBudget) {
            // The default is seldom spent.
            proxy["failover"]["retry_budget_percent"] = json!(self.number(0, 20));
            proxy["failover"]["retry_budget_min_per_second"] = json!(self.number(0, 1));
        }
        proxy
    }
}
