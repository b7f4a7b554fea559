//! The end of a play heals everything, demands progress, stops the proxy, and looks for what it left behind.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use loadgen::User;
use proxy::config::{Authentication, Password};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use super::stage::{Proxy, Stage};
use crate::record::{ClientEvent, ProxyEvent, ScenarioEvent, What};
use crate::scenario::{Client, Entrance, HostName, Span, Written};
use crate::world::engine::{Host, RunsProxy};
use crate::world::link::{Gate, LinkChange};

/// Requests in a row that must succeed.
const LIVENESS_REQUESTS: u64 = 5;
/// How long clients may take to finish, and how much longer than its own limit a stopping proxy may take.
const END_LIMIT: Duration = Duration::from_secs(300);
const GRACE: Duration = Duration::from_secs(5);
/// How long the statistics page is read again where the proxy may hear a moment late of what has ended: on a busy machine a thread of its may
/// wait for its turn. Some of it may last for long.
const REST: Duration = Duration::from_secs(2);
/// How far apart these reads are, so that they don't take that turn themselves.
const AGAIN: Duration = Duration::from_millis(10);

impl<E: RunsProxy> Stage<'_, E> {
    /// Heals everything.
    pub(super) fn heal(&mut self) {
        self.change(None, LinkChange::Loss(0));
        self.change(None, LinkChange::Gate(Gate::Open));
        for (host, plan) in self.plans.clone() {
            for entry in plan.entries().iter().filter(|entry| entry.armed) {
                self.arm(&host, &entry.id, false);
            }
        }
        for (name, hosts) in self.scenario.network.dns.clone() {
            self.set_name(&name, &hosts);
        }
        for host in std::mem::take(&mut self.down) {
            // Clients that were crashed are not started again, because their part of the story is over.
            if self.proxy_on(host.as_str()).is_some() || self.upstreams.contains_key(&host) {
                self.down.push(host.clone());
                self.restart(&host);
            }
        }
        for proxy in &self.proxies {
            self.engine.heal_machine(&proxy.host);
        }
    }

    /// Makes requests through a proxy until several in a row have succeeded. Returns its host and what is wrong if it makes no progress.
    pub(super) fn demand_progress(&mut self, place: usize) -> Option<(HostName, String)> {
        let proxy = &self.proxies[place];
        if proxy.draining {
            return None;
        }
        let (host, own) = (proxy.host.clone(), proxy.own_client());
        let healed = self.clock.now();
        let limit = self.subject.file().comes_back_within.get();
        let until = healed + limit;
        self.ask(place, json!({ "do": "echo", "think": "100ms" }), until);
        let seen = Cell::new((0, 0));
        let recorder = self.recorder.clone();
        self.engine.run(until, || {
            let (mut from, mut row) = seen.get();
            recorder.each_from(&mut from, |line| {
                if line.host == own
                    && let What::Client(ClientEvent::Ended(result)) = &line.what
                {
                    row = if result.failure.is_none() { row + 1 } else { 0 };
                }
            });
            seen.set((from, row));
            row >= LIVENESS_REQUESTS
        });
        let (_, row) = seen.get();
        self.engine.crash(&own);
        if row >= LIVENESS_REQUESTS {
            return None;
        }
        let passed = humantime::format_duration(healed);
        let what = if self.engine.proxy_works(&host) {
            format!(
                "all was healed at {}, and {} later no {LIVENESS_REQUESTS} requests in a row had succeeded",
                passed,
                humantime::format_duration(limit)
            )
        } else {
            format!("all was healed at {passed}, but the proxy was gone")
        };
        Some((host, what))
    }

    /// Starts a client of the run's own, which does what `does` says through a proxy from now until `until`.
    pub(super) fn ask(&mut self, place: usize, does: Json, until: Duration) {
        let proxy = &self.proxies[place];
        let mut client = does;
        client["name"] = json!(proxy.own_client());
        client["through"] = json!(proxy.host);
        client["from"] = json!(Span::from(self.clock.now()).to_string());
        client["until"] = json!(Span::from(until).to_string());
        let client: Client = serde_json::from_value(client).expect("a client as in a scenario file");
        let client = Client { users: self.user(proxy).into_iter().collect(), ..client };
        // Its place among the clients of the run comes behind those of the scenario.
        let place = u32::try_from(self.scenario.clients.len() + place).unwrap_or(u32::MAX);
        self.start_client(place, client, Span::from(until));
    }

    /// Somebody whom `proxy` would let in, if it asks who comes.
    fn user(&self, proxy: &Proxy) -> Option<Written<User>> {
        let Authentication::Basic { users, .. } = &proxy.config.authentication else { return None };
        let is = |pair: &Written<User>, name: &str| pair.text().split_once(':').is_some_and(|(own, _)| own == name);
        users.iter().find_map(|user| match &user.password {
            Password::Plain(secret) => serde_json::from_value(json!(format!("{}:{}", user.name, secret.expose()))).ok(),
            // A hash says no password, so scenarios that have one name a client with the right password first.
            _ => {
                let mut known = self.scenario.clients.iter().flat_map(|client| client.users.clone());
                known.find(|pair| is(pair, &user.name))
            }
        })
    }

    /// Waits until the clients have finished. Returns those that have not.
    pub(super) fn wait_for_clients(&mut self) -> Vec<(HostName, String)> {
        let hosts: Vec<HostName> = self.scenario.clients.iter().map(|client| HostName::new(&client.name)).collect();
        self.engine.wait(END_LIMIT, |engine| hosts.iter().all(|host| engine.live_tasks(host) == 0));
        let late = hosts.iter().filter(|host| self.engine.live_tasks(host) > 0);
        let limit = humantime::format_duration(END_LIMIT);
        late.map(|host| (host.clone(), format!("client {host} has not finished {limit} after the end"))).collect()
    }

    /// Reads the pages of a proxy, stops the proxy, and returns what is left of it, by its host.
    pub(super) fn clear(&mut self, place: usize) -> Vec<(HostName, String)> {
        let Proxy { host, config, draining, .. } = self.proxies[place].clone();
        let mut left = Vec::new();
        if draining {
            self.engine.wait(END_LIMIT, |engine| !engine.proxy_works(&host));
        } else if self.engine.proxy_works(&host) {
            // The pages must not count sessions whose clients are gone, so they are read once the proxy has noticed that.
            left.extend(self.engine.proxy_at_rest(&host, config.timeouts.pool_idle));
            if self.subject.tells() {
                self.read_pages(place);
            }
            self.drain(place);
            let takes = self.subject.file().stop.as_ref().map_or(Duration::ZERO, |order| order.takes.get());
            let limit = (config.server.drain_delay + config.server.drain_timeout + GRACE).max(takes);
            self.engine.wait(limit, |engine| !engine.proxy_works(&host));
        }
        left.extend(self.engine.proxy_remains(&host, config.timeouts.pool_idle + GRACE));
        left.into_iter().map(|what| (host.clone(), what)).collect()
    }

    fn read_pages(&mut self, place: usize) {
        let proxy = &self.proxies[place];
        let host = proxy.host.clone();
        let address = self.engine.proxy_inside(&host, proxy.port(Entrance::Admin));
        let statistics = proxy.config.server.stats_endpoint.clone();
        let (recorder, name) = (self.recorder.clone(), host.clone());
        let read = Rc::new(Cell::new(false));
        let done = Rc::clone(&read);
        let rest = if E::TOLERANCE.is_zero() { Duration::ZERO } else { REST };
        self.engine.spawn(&host, move |host| async move {
            for path in ["/healthz", "/readyz", &statistics] {
                let mut read = page(&host, address, path).await;
                let until = Instant::now() + if path == statistics { rest } else { Duration::ZERO };
                while Instant::now() < until && matches!(&read, Ok((_, page)) if !is_at_rest(page)) {
                    sleep(AGAIN).await;
                    read = page(&host, address, path).await;
                }
                let event = match read {
                    Ok((_, page)) if path == statistics => What::Proxy(ProxyEvent::Statistics { page }),
                    Ok((status, _)) => What::Proxy(ProxyEvent::Page { path: path.to_owned(), status }),
                    Err(error) => {
                        let what = format!("{path} could not be read: {error}");
                        What::Scenario(ScenarioEvent::Failed { what })
                    }
                };
                recorder.write(&name, event);
            }
            done.set(true);
        });
        self.engine.wait(GRACE, |_| read.get());
    }
}

/// Whether nothing is under way or open by the statistics page, but for the connection that it went over.
fn is_at_rest(page: &Json) -> bool {
    let metrics = page.pointer("/total/upstream_metrics").and_then(Json::as_array).into_iter().flatten();
    let mut gauges = metrics.map(|one| &one["current_connections"]).chain([&page["current_requests"]]);
    page["open_connections"] == 1 && gauges.all(|gauge| *gauge == 0)
}

/// The status and the JSON of one of the proxy's pages.
async fn page<H: Host>(host: &H, address: SocketAddr, path: &str) -> std::io::Result<(u16, Json)> {
    let mut stream = host.connect(address).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await?;
    let wrong = |why: String| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, format!("{why}: {}", String::from_utf8_lossy(&text)))
    };
    let status = text.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let status = status.ok_or_else(|| wrong("no status".to_owned()))?;
    let body = text.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let json = serde_json::from_slice(&text[body..]).map_err(|error| wrong(error.to_string()))?;
    Ok((status, json))
}
