//! A made-up scenario has a timeline: crashes, partitions, reloads and more, each of which ends again.

use serde_json::{Value as Json, json};

use super::draw::Feature::{self, *};
use super::draw::{Draw, NAME, NEW_PASSWORD, SHORT_REPLY};
use crate::scenario::PROXY;

/// What happens in the course of a run.
const EVENTS: &[Feature] = &[
    Arming,
    Names,
    CrashUpstream,
    CrashProxy,
    Partition,
    Hold,
    OneWay,
    CutOffClient,
    ReloadWeights,
    ReloadMembers,
    ReloadBroken,
    ReloadUsers,
    ReloadTimeouts,
    ClockJump,
    Outage,
    Steer,
    EjectByHand,
    CloseTunnels,
];

impl Draw {
    /// What happens when, to whom.
    pub(super) fn timeline(
        &mut self,
        upstreams: &[Json],
        proxies: &[(&str, Json)],
        clients: &[Json],
        seconds: u64,
    ) -> Vec<Json> {
        let of_first_client = clients.first().and_then(|client| client["through"].as_str()).unwrap_or(PROXY);
        let name = |upstream: &Json| upstream["name"].as_str().unwrap_or_default().to_owned();
        let names: Vec<String> = upstreams.iter().map(name).collect();
        let armed = upstreams.iter().filter(|one| one["plan"].to_string().contains("\"later\""));
        let armed: Vec<String> = armed.map(name).collect();
        let events: Vec<Feature> = EVENTS.iter().copied().filter(|event| self.has(*event)).collect();
        let mut timeline = Vec::new();
        for _ in 0..if events.is_empty() { 0 } else { self.number(0, 8) } {
            let start = self.number(1000, seconds * 1000 - 1000);
            let until = self.number(start, seconds * 1000 - 500);
            let (at, until) = (format!("{start}ms"), format!("{until}ms"));
            let event = *self.one_of(&events);
            let (proxy, config) = self.proxy_of(proxies);
            // Nothing is done to the last.
            let host = match &names[..names.len() - 1] {
                [] => None,
                disturbed => Some(self.one_of(disturbed).clone()),
            };
            match (event, host) {
                (CrashProxy, _) => {
                    timeline.push(json!({ "at": at, "do": "crash", "host": proxy }));
                    timeline.push(json!({ "at": until, "do": "restart", "host": proxy }));
                }
                (Outage, _) => {
                    // All of them but one or the other, the last included; not for long, since nobody can serve meanwhile.
                    let until = format!("{}ms", (start + self.number(100, 3000)).min(seconds * 1000 - 500));
                    let spared = |draw: &mut Self, place: usize| place + 1 < names.len() && draw.once_in(3);
                    for (place, host) in names.iter().enumerate() {
                        if !spared(self, place) {
                            timeline.push(json!({ "at": at, "do": "crash", "host": host }));
                            timeline.push(json!({ "at": until, "do": "restart", "host": host }));
                        }
                    }
                }
                (CutOffClient, _) => {
                    timeline.push(json!({ "at": at, "do": "partition", "between": [of_first_client, "c1"] }));
                    timeline.push(json!({ "at": until, "do": "heal", "between": [of_first_client, "c1"] }));
                }
                (ClockJump, _) => {
                    let by = *self.one_of(&["-1h", "1h", "-1s", "400days"]);
                    timeline.push(json!({ "at": at, "do": "clock-jump", "by": by }));
                }
                (Names, _) => {
                    let to = self.one_of(&names).clone();
                    timeline.push(json!({ "at": at, "do": "dns", "name": NAME, "hosts": [to] }));
                }
                (Arming, _) if !armed.is_empty() => {
                    let host = self.one_of(&armed).clone();
                    timeline.push(json!({ "at": at, "do": "arm", "upstream": host, "fault": "later" }));
                    timeline.push(json!({ "at": until, "do": "disarm", "upstream": host, "fault": "later" }));
                }
                (ReloadWeights | ReloadMembers | ReloadUsers | ReloadTimeouts, _) => {
                    let changed = self.changed(config, event);
                    timeline.push(json!({ "at": at, "do": "reload", "host": proxy, "proxy": changed }));
                }
                (ReloadBroken, _) => {
                    let text = *self.one_of(&["", "{", "[]", "{\"upstream_proxies\": []}", "{\"servr\": {}}"]);
                    timeline.push(json!({ "at": at, "do": "reload", "host": proxy, "text": text }));
                }
                (Steer, Some(host)) => {
                    let upstream = self.host_of_entry(&host).to_owned();
                    let order = match self.number(1, 3) {
                        1 => json!({ "weight": self.number(0, 9) }),
                        2 => json!("drain"),
                        _ => json!("disable"),
                    };
                    timeline
                        .push(json!({ "at": at, "do": "steer", "host": proxy, "upstream": upstream, "order": order }));
                    // Mostly it is enabled again, and else it stays so to the end, or to a reload.
                    if !self.once_in(3) {
                        let on = json!({ "at": until, "do": "steer", "host": proxy, "upstream": upstream, "order": "enable" });
                        timeline.push(on);
                    }
                }
                (EjectByHand, Some(host)) => {
                    let upstream = self.host_of_entry(&host).to_owned();
                    let order = |at: &str, order: &str| json!({ "at": at, "do": "steer", "host": proxy, "upstream": upstream, "order": order });
                    timeline.push(order(&at, "eject"));
                    // Mostly before its probe is due, which would let it in as well.
                    if self.once_in(2) {
                        let until = (start + self.number(50, 2000)).min(seconds * 1000 - 500);
                        timeline.push(order(&format!("{until}ms"), "restore"));
                    }
                }
                (CloseTunnels, _) => {
                    let which = if self.has(ClientAuth) && self.once_in(4) {
                        json!({ "user": "alice" })
                    } else {
                        let host = self.one_of(&names).clone();
                        json!({ "upstream": self.host_of_entry(&host) })
                    };
                    timeline.push(json!({ "at": at, "do": "close-tunnels", "host": proxy, "which": which }));
                }
                (CrashUpstream, Some(host)) => {
                    timeline.push(json!({ "at": at, "do": "crash", "host": host }));
                    timeline.push(json!({ "at": until, "do": "restart", "host": host }));
                }
                (Partition | Hold, Some(host)) => {
                    let word = if event == Hold { "hold" } else { "partition" };
                    timeline.push(json!({ "at": at, "do": word, "between": [proxy, host] }));
                    timeline.push(json!({ "at": until, "do": "heal", "between": [proxy, host] }));
                }
                (OneWay, Some(host)) => {
                    let (from, to) = if self.once_in(2) { (host.as_str(), proxy) } else { (proxy, host.as_str()) };
                    timeline.push(json!({ "at": at, "do": "partition-one-way", "from": from, "to": to }));
                    timeline.push(json!({ "at": until, "do": "heal", "between": [proxy, host] }));
                }
                _ => {}
            }
        }
        if self.has(Drain) {
            let at = self.number(1000, seconds * 1000);
            let (proxy, _) = self.proxy_of(proxies);
            timeline.push(json!({ "at": format!("{at}ms"), "do": "drain", "host": proxy }));
        }
        timeline
    }

    /// One of the proxies. If there is only one, nothing is drawn.
    fn proxy_of<'a>(&mut self, proxies: &'a [(&'a str, Json)]) -> (&'a str, &'a Json) {
        let (host, config) = if let [one] = proxies { one } else { self.one_of(proxies) };
        (host, config)
    }

    /// `proxy` with another password, other weights, other upstreams, or less time for a reply. The last upstream stays as it is.
    fn changed(&mut self, proxy: &Json, how: Feature) -> Json {
        let mut changed = proxy.clone();
        if how == ReloadUsers {
            if self.has(ClientAuth) {
                changed["authentication"]["users"][0]["password"] = json!(NEW_PASSWORD);
            }
            return changed;
        }
        if how == ReloadTimeouts {
            changed["timeouts"]["reply"] = json!(SHORT_REPLY);
            return changed;
        }
        let Some(entries) = changed["upstream_proxies"].as_array_mut() else { return changed };
        let Some(last) = entries.pop() else { return changed };
        if how == ReloadMembers {
            entries.retain(|_| self.once_in(2));
        }
        for entry in entries.iter_mut().filter(|_| how == ReloadWeights) {
            if self.once_in(2) {
                entry["weight"] = json!(self.number(1, 9));
            }
        }
        entries.push(last);
        changed
    }
}
