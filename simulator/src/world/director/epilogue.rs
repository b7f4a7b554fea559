//! The end of a play heals everything, demands progress, stops the proxy, and looks for what it left behind.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use loadgen::User;
use proxy::config::{Authentication, Password};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stage::Stage;
use crate::record::{ClientEvent, ProxyEvent, ScenarioEvent, What};
use crate::scenario::{Client, HostName, LIVENESS, Span, Written};
use crate::world::engine::{Host, RunsProxy};
use crate::world::link::{Gate, LinkChange};

/// How long the proxy may take to make progress once everything is healed: the longest back-off and some requests.
const LIVENESS_LIMIT: Duration = Duration::from_secs(400);
/// Requests in a row that must succeed.
const LIVENESS_REQUESTS: u64 = 5;
/// How long clients may take to finish; and how long a stopping proxy may take beyond its own limit.
const END_LIMIT: Duration = Duration::from_secs(300);
const GRACE: Duration = Duration::from_secs(5);

impl<E: RunsProxy> Stage<'_, E> {
    /// Heals everything and asks until requests succeed in a row.
    pub(super) fn demand_progress(&mut self) -> Option<String> {
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
            // Clients that are down stay down: their part of the story is over.
            if host == self.host || self.upstreams.contains_key(&host) {
                self.down.push(host.clone());
                self.restart(&host);
            }
        }
        if self.draining {
            return None;
        }
        let healed = self.clock.now();
        let until = healed + LIVENESS_LIMIT;
        let client = liveness_client(Span::from(healed), Span::from(until), self.user());
        let place = u32::try_from(self.scenario.clients.len()).unwrap_or(u32::MAX);
        self.start_client(place, client, Span::from(until));
        let seen = Cell::new((0, 0));
        let recorder = self.recorder.clone();
        self.engine.run(until, || {
            let (mut from, mut row) = seen.get();
            recorder.each_from(&mut from, |line| {
                if line.host.as_str() == LIVENESS
                    && let What::Client(ClientEvent::Ended(result)) = &line.what
                {
                    row = if result.failure.is_none() { row + 1 } else { 0 };
                }
            });
            seen.set((from, row));
            row >= LIVENESS_REQUESTS
        });
        let (_, row) = seen.get();
        self.engine.crash(&HostName::new(LIVENESS));
        if row >= LIVENESS_REQUESTS {
            return None;
        }
        let passed = humantime::format_duration(healed);
        Some(if self.engine.proxy_works() {
            format!(
                "all was healed at {}, and {} later no {LIVENESS_REQUESTS} requests in a row had succeeded",
                passed,
                humantime::format_duration(LIVENESS_LIMIT)
            )
        } else {
            format!("all was healed at {passed}, but the proxy was gone")
        })
    }

    /// The first of the clients' users whom the proxy would let in, if it asks for any.
    fn user(&self) -> Option<Written<User>> {
        let Authentication::Basic { users, .. } = &self.config.authentication else { return None };
        let mut known = self.scenario.clients.iter().flat_map(|client| client.users.clone());
        known.find(|pair| {
            pair.text().split_once(':').is_some_and(|(name, password)| {
                users.iter().any(|user| {
                    let right = match &user.password {
                        Password::Plain(secret) => secret.expose() == password,
                        // A hash can't be compared here, so scenarios that use one name a client with the right password first.
                        _ => true,
                    };
                    user.name == name && right
                })
            })
        })
    }

    /// Lets clients finish, reads the statistics, stops the proxy, and says what is left.
    pub(super) fn clear(&mut self) -> Vec<String> {
        let hosts: Vec<HostName> = self.scenario.clients.iter().map(|client| HostName::new(&client.name)).collect();
        self.engine.wait(END_LIMIT, |engine| hosts.iter().all(|host| engine.live_tasks(host) == 0));
        let mut left: Vec<String> = Vec::new();
        for host in &hosts {
            if self.engine.live_tasks(host) > 0 {
                left.push(format!(
                    "client {host} has not finished {} after the end",
                    humantime::format_duration(END_LIMIT)
                ));
            }
        }
        if self.draining {
            self.engine.wait(END_LIMIT, |engine| !engine.proxy_works());
        } else if self.engine.proxy_works() {
            // The statistics are read only when sessions have noticed that their clients are gone.
            left.extend(self.engine.proxy_at_rest(self.config.timeouts.pool_idle));
            self.read_statistics();
            self.drain();
            let limit = self.config.server.drain_delay + self.config.server.drain_timeout + GRACE;
            self.engine.wait(limit, |engine| !engine.proxy_works());
        }
        left.extend(self.engine.proxy_remains(self.config.timeouts.pool_idle + GRACE));
        left
    }

    fn read_statistics(&mut self) {
        let address = self.engine.proxy_inside(self.config.server.listen.port());
        let path = self.config.server.stats_endpoint.clone();
        let (recorder, name) = (self.recorder.clone(), self.host.clone());
        let read = Rc::new(Cell::new(false));
        let done = Rc::clone(&read);
        self.engine.spawn(&self.host, move |host| async move {
            match statistics(&host, address, &path).await {
                Ok(page) => recorder.write(&name, What::Proxy(ProxyEvent::Statistics { page })),
                Err(error) => {
                    let what = format!("the statistics could not be read: {error}");
                    recorder.write(&name, What::Scenario(ScenarioEvent::Failed { what }));
                }
            }
            done.set(true);
        });
        self.engine.wait(GRACE, |_| read.get());
    }
}

async fn statistics<H: Host>(host: &H, address: SocketAddr, path: &str) -> std::io::Result<Json> {
    let mut stream = host.connect(address).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await?;
    let body = text.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    serde_json::from_slice(&text[body..]).map_err(|error| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, format!("{error}: {}", String::from_utf8_lossy(&text)))
    })
}

fn liveness_client(from: Span, until: Span, user: Option<Written<User>>) -> Client {
    let client = serde_json::json!({
        "name": LIVENESS, "do": "echo", "think": "100ms", "from": from.to_string(), "until": until.to_string(),
    });
    let client: Client = serde_json::from_value(client).expect("a client as in a scenario file");
    Client { users: user.into_iter().collect(), ..client }
}
