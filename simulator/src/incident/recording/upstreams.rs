//! Which upstream a log means: it names them by numbers of one process and by addresses.

use std::collections::{BTreeMap, BTreeSet};

use proxy::core::upstream::UpstreamId;
use serde_json::Value as Json;

use crate::incident::key::Key;
use crate::incident::settings::{Known, hashed_url};
use crate::scenario::HostName;

/// The most upstreams that are in the log alone.
const MOST_STRANGERS: usize = 500;
/// What all others are called.
const OTHERS: &str = "other-upstreams";

/// The upstreams of a recording.
#[derive(Debug)]
pub(super) struct Upstreams {
    configured: Vec<Known>,
    /// Those of the log alone, by their hashed addresses.
    strangers: BTreeSet<String>,
    /// By the numbers of the process whose lines are read.
    by_id: BTreeMap<u32, String>,
}

impl Upstreams {
    pub(super) fn new(configured: Vec<Known>) -> Self {
        let mut upstreams = Upstreams { configured, strangers: BTreeSet::new(), by_id: BTreeMap::new() };
        upstreams.started();
        upstreams
    }

    /// A process has started: it numbers its upstreams in the order of its configuration.
    pub(super) fn started(&mut self) {
        let hosts = self.configured.iter().map(|one| one.host.clone());
        self.by_id = (0..).zip(hosts).collect();
    }

    /// Learns from a line which number has which address.
    pub(super) fn learn(&mut self, line: &Json, key: &Key) {
        let text = |field: &str| line.get(field).and_then(Json::as_str).unwrap_or_default();
        self.is(text("id"), text("upstream"), key);
        let failed = text("failed").split_whitespace().map(|pair| pair.rsplit_once('=').map_or(pair, |(url, _)| url));
        text("failed_ids").split_whitespace().zip(failed).for_each(|(id, url)| self.is(id, url, key));
    }

    fn is(&mut self, id: &str, url: &str, key: &Key) {
        let Some(id) = id.strip_prefix('u').and_then(|id| id.parse().ok()) else { return };
        if url.is_empty() {
            return;
        }
        let hash = hashed_url(url, key);
        let alike: Vec<&str> =
            self.configured.iter().filter(|one| one.url == hash).map(|one| one.host.as_str()).collect();
        // Several differ by their user alone, whom no log names: the order of the configuration decides.
        if self.by_id.get(&id).is_some_and(|known| alike.contains(&known.as_str())) {
            return;
        }
        let host = match alike.first() {
            Some(host) => (*host).to_owned(),
            None => self.stranger(hash),
        };
        if self.by_id.len() < MOST_STRANGERS + self.configured.len() || self.by_id.contains_key(&id) {
            self.by_id.insert(id, host);
        }
    }

    /// One that the configuration does not have is called by its hashed address.
    fn stranger(&mut self, hash: String) -> String {
        if !self.strangers.contains(&hash) && self.strangers.len() >= MOST_STRANGERS {
            return OTHERS.to_owned();
        }
        self.strangers.insert(hash.clone());
        hash
    }

    /// What the upstream of that number is called.
    pub(super) fn numbered(&self, id: UpstreamId) -> HostName {
        HostName::new(self.by_id.get(&id.number()).map_or(OTHERS, String::as_str))
    }

    /// What the upstream at that address is called. Where several are, the first.
    pub(super) fn at(&self, url: &str, key: &Key) -> String {
        let hash = hashed_url(url, key);
        let stranger = |hash: String| if self.strangers.contains(&hash) { hash } else { OTHERS.to_owned() };
        self.with(&hash).map_or_else(|| stranger(hash.clone()), |one| one.host.clone())
    }

    /// What the upstream with that hashed address is called, of which a reload tells.
    pub(super) fn reloaded(&mut self, hash: &str) -> String {
        let known = self.with(hash).map(|one| one.host.clone());
        known.unwrap_or_else(|| self.stranger(hash.to_owned()))
    }

    fn with(&self, hash: &str) -> Option<&Known> {
        self.configured.iter().find(|one| one.url == hash)
    }

    /// Whether the one on `host` speaks TLS.
    pub(super) fn speaks_tls(&self, host: &str) -> bool {
        self.configured.iter().any(|one| one.host == host && one.tls)
    }

    /// Those of the configuration, in its order.
    pub(super) fn configured(&self) -> impl Iterator<Item = &str> {
        self.configured.iter().map(|one| one.host.as_str())
    }
}
