//! Draws what the scenario did to links and processes, and when faults were in force.

use std::collections::BTreeMap;

use super::picture::{Mark, Picture, Spell, Tone};
use crate::record::{Line, ScenarioEvent, What, micros};
use crate::scenario::{Action, LIVENESS, PROXY, Scenario};

/// A disturbance that may end: its kind, and the hosts or the fault that it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Disturbance {
    Gate(String, String),
    Loss(String, String),
    Delay(String, String),
    Down(String),
    Armed(String, String),
}

struct DisturbanceLanes<'a> {
    picture: &'a mut Picture,
    scenario: &'a Scenario,
    open: BTreeMap<Disturbance, Spell>,
    /// When each process of an upstream began, and when it was killed.
    lives: BTreeMap<&'a str, Vec<(u64, u64)>>,
    /// When each fault of an upstream was armed, and until when.
    armed: BTreeMap<(&'a str, String), Vec<(u64, u64)>>,
}

/// Draws each disturbance into the lanes of the hosts that it concerns.
pub(super) fn draw(picture: &mut Picture, scenario: &Scenario, lines: &[Line]) {
    let upstreams = scenario.upstreams.iter();
    let lives = upstreams.map(|upstream| (upstream.name.as_str(), vec![(0, u64::MAX)])).collect();
    let mut lanes = DisturbanceLanes { picture, scenario, open: BTreeMap::new(), lives, armed: BTreeMap::new() };
    lanes.arm_from_the_start();
    for line in lines {
        match &line.what {
            What::Scenario(ScenarioEvent::Played { entry, .. }) => {
                if let Some(entry) = scenario.timeline.get(*entry) {
                    lanes.play(line.at_us, &entry.action);
                }
            }
            What::Scenario(ScenarioEvent::Failed { what } | ScenarioEvent::Unsupported { what }) => {
                lanes.mark(line.at_us, line.host.as_str(), Tone::Failed, "failed", what.clone());
            }
            _ => {}
        }
    }
    lanes.heal();
    lanes.windows();
}

impl<'a> DisturbanceLanes<'a> {
    fn play(&mut self, at: u64, action: &'a Action) {
        match action {
            Action::Partition { between: (one, other) } => {
                let text = format!("no packet passes between {one} and {other}");
                self.begin(at, Disturbance::Gate(one.clone(), other.clone()), "cut off", text);
            }
            Action::PartitionOneWay { from, to } => {
                let text = format!("no packet passes from {from} to {to}");
                self.begin(at, Disturbance::Gate(from.clone(), to.clone()), "cut off one way", text);
            }
            Action::Hold { between: (one, other) } => {
                let text = format!("packets between {one} and {other} wait");
                self.begin(at, Disturbance::Gate(one.clone(), other.clone()), "held", text);
            }
            Action::Heal { between } => {
                for disturbance in self.links(between.as_ref()) {
                    self.end(at, &disturbance);
                }
            }
            Action::Loss { between, share } => {
                for (one, other) in self.pairs(between.as_ref()) {
                    let label = format!("loses {} %", share * 100.0);
                    let text = format!("{one} and {other} lose {} % of their packets", share * 100.0);
                    let disturbance = Disturbance::Loss(one, other);
                    self.end(at, &disturbance);
                    if *share > 0.0 {
                        self.begin(at, disturbance, &label, text);
                    }
                }
            }
            Action::Delay { between, latency, jitter } => {
                for (one, other) in self.pairs(between.as_ref()) {
                    let text = format!("packets between {one} and {other} take {latency}, and up to {jitter} more");
                    self.begin(at, Disturbance::Delay(one, other), &format!("takes {latency}"), text);
                }
            }
            Action::Crash { host } => self.crash(at, host),
            Action::Restart { host } => self.restart(at, host),
            Action::Steer { upstream, order, .. } => {
                let proxy = action.told().unwrap_or(PROXY);
                let order = serde_json::to_string(order).unwrap_or_default().replace('"', "");
                self.mark(at, proxy, Tone::Changed, "by hand", format!("{upstream} is set by hand: {order}"));
            }
            Action::CloseTunnels { which, .. } => {
                let proxy = action.told().unwrap_or(PROXY);
                let which = serde_json::to_string(which).unwrap_or_default().replace('"', "");
                self.mark(at, proxy, Tone::Changed, "tunnels closed", format!("tunnels are closed by hand: {which}"));
            }
            // The proxy reports its reloads, which are drawn from these reports.
            Action::Reload { .. } => {}
            Action::Drain { .. } => {
                let proxy = action.told().unwrap_or(PROXY);
                self.mark(at, proxy, Tone::Changed, "drain", "the proxy is told to finish".to_owned());
            }
            Action::ClockJump { by } => {
                self.mark(
                    at,
                    PROXY,
                    Tone::Disturbance,
                    &format!("clock {}", by.text()),
                    format!("the wall clock jumps by {}", by.text()),
                );
            }
            Action::Dns { name, hosts } => {
                let hosts = if hosts.is_empty() { "nowhere".to_owned() } else { format!("to {}", hosts.join(", ")) };
                self.mark(at, PROXY, Tone::Disturbance, "name", format!("{name} leads {hosts}"));
            }
            Action::Arm { upstream, fault } => self.arm(at, upstream, fault),
            Action::Disarm { upstream, fault } => self.end(at, &Disturbance::Armed(upstream.clone(), fault.clone())),
        }
    }

    fn mark(&mut self, at: u64, host: &str, tone: Tone, label: &str, text: String) {
        self.picture.lane(host).marks.push(Mark { at, tone, label: label.to_owned(), text });
    }

    /// The named link. If none is named, the links of the proxy, since no others are used.
    fn pairs(&self, between: Option<&(String, String)>) -> Vec<(String, String)> {
        if let Some(between) = between {
            return vec![between.clone()];
        }
        let hosts = self.picture.lanes.iter().map(|lane| lane.host.clone());
        hosts.filter(|host| host != PROXY && host != LIVENESS).map(|host| (PROXY.to_owned(), host)).collect()
    }

    /// The disturbances that end when the link `between` is healed, or all links if none is named.
    fn links(&self, between: Option<&(String, String)>) -> Vec<Disturbance> {
        let meant = |one: &String, other: &String| {
            between.is_none_or(|(a, b)| (a == one && b == other) || (a == other && b == one))
        };
        let open = self.open.keys().filter(|disturbance| match disturbance {
            Disturbance::Gate(one, other) | Disturbance::Loss(one, other) => meant(one, other),
            Disturbance::Delay(..) | Disturbance::Down(_) | Disturbance::Armed(..) => false,
        });
        open.cloned().collect()
    }

    fn begin(&mut self, from: u64, disturbance: Disturbance, label: &str, text: String) {
        self.end(from, &disturbance);
        self.open
            .insert(disturbance, Spell { from, until: from, tone: Tone::Disturbance, label: label.to_owned(), text });
    }

    /// Ends `disturbance` if it has begun, and draws it.
    fn end(&mut self, until: u64, disturbance: &Disturbance) {
        let Some(spell) = self.open.remove(disturbance) else { return };
        let spell = Spell { until, ..spell };
        match disturbance {
            Disturbance::Gate(one, other) | Disturbance::Loss(one, other) | Disturbance::Delay(one, other) => {
                for (lane, peer) in [(one, other), (other, one)] {
                    if lane != PROXY {
                        self.picture.lane(lane).bands.push(spell.clone());
                    } else if matches!(disturbance, Disturbance::Gate(..)) {
                        let label = format!("{peer} {}", spell.label);
                        self.picture.lane(lane).bands.push(Spell { label, ..spell.clone() });
                    }
                }
            }
            Disturbance::Down(host) => self.picture.lane(host).bands.push(spell),
            Disturbance::Armed(upstream, fault) => {
                let key = self.lives.keys().copied().find(|known| known == upstream);
                if let Some(key) = key {
                    self.armed.entry((key, fault.clone())).or_default().push((spell.from, until));
                }
            }
        }
    }

    fn crash(&mut self, at: u64, host: &str) {
        let disturbance = Disturbance::Down(host.to_owned());
        if self.open.contains_key(&disturbance) {
            return;
        }
        if let Some(life) = self.lives.get_mut(host).and_then(|lives| lives.last_mut()) {
            life.1 = at;
        }
        self.begin(at, disturbance, "down", format!("{host} was killed"));
    }

    fn restart(&mut self, at: u64, host: &str) {
        self.crash(at, host);
        self.end(at, &Disturbance::Down(host.to_owned()));
        if let Some(lives) = self.lives.get_mut(host) {
            lives.push((at, u64::MAX));
        }
        self.mark(at, host, Tone::Disturbance, "restart", format!("{host} is started again"));
    }

    fn arm_from_the_start(&mut self) {
        let scenario = self.scenario;
        for upstream in &scenario.upstreams {
            let Ok(plan) = upstream.fault_plan(0) else { continue };
            for entry in plan.entries().iter().filter(|entry| entry.armed) {
                self.arm(0, &upstream.name, &entry.id);
            }
        }
    }

    fn arm(&mut self, at: u64, upstream: &str, fault: &str) {
        let disturbance = Disturbance::Armed(upstream.to_owned(), fault.to_owned());
        if !self.open.contains_key(&disturbance) {
            self.begin(at, disturbance, "", String::new());
        }
    }

    /// Ends all disturbances: at the end of the story, when everything is healed. Delays last until the end of the run.
    fn heal(&mut self) {
        let (healed, end) = (self.picture.healed(), self.picture.end);
        for disturbance in self.open.keys().cloned().collect::<Vec<_>>() {
            let until = if matches!(disturbance, Disturbance::Delay(..)) { end } else { healed };
            self.end(until, &disturbance);
        }
    }

    /// Draws when the faults of the upstreams' plans are in force. Times in plans count from the start of the upstream's process.
    fn windows(&mut self) {
        let scenario = self.scenario;
        for upstream in &scenario.upstreams {
            let Ok(plan) = upstream.fault_plan(0) else { continue };
            let name = upstream.name.as_str();
            for entry in plan.entries() {
                let armed = self.armed.get(&(name, entry.id.clone())).cloned().unwrap_or_default();
                let lives = self.lives.get(name).cloned().unwrap_or_default();
                for (start, killed) in lives {
                    let from = start.saturating_add(micros(entry.when.from));
                    let until = entry.when.until.map_or(u64::MAX, |until| start + micros(until));
                    for (armed_at, disarmed_at) in &armed {
                        let (from, until) = (from.max(*armed_at), until.min(killed).min(*disarmed_at));
                        if from < until {
                            let text = format!("fault {}", entry.to_json());
                            let band = Spell { from, until, tone: Tone::Fault, label: entry.label(), text };
                            self.picture.lane(name).bands.push(band);
                        }
                    }
                }
            }
        }
    }
}
