//! The witnesses are clients and upstreams. What they saw, with what the scenario did and what the configurations said, is all
//! that a black-box law may look at: nothing here comes from the proxy.

mod configurations;
mod crowd;
mod disturbances;
mod journals;
mod machine;
mod request;
mod silence;
mod spans;

use std::collections::BTreeMap;
use std::time::Duration;

pub use configurations::Configurations;
pub use crowd::Crowd;
pub(in crate::judge) use disturbances::struck_by;
pub use disturbances::{Disturbances, Harm, harm_of};
pub(in crate::judge) use journals::fault_of;
pub use journals::{Connection, HostJournal, JournalEntry, Journals};
use machine::Machine;
pub use request::{ClientRequest, RequestEnd};

use loadgen::{ActionKind, ConnectionUse};
use mock_upstreams::journal::Outcome;
use mock_upstreams::targets::Builtin;
use proxy::config::{Config, Transport, Upstream};

use crate::judge::excuse::Excuse;
use crate::record::{ClientEvent, ProxyEvent, RunRecord, ScenarioEvent, What};
use crate::scenario::{Action, Client, HostName, LIVENESS, Scenario, Span, Written};
use crate::subject::Subject;

/// How much longer something may take where packets are lost: each is sent again after 200 ms.
const RESENDING: Duration = Duration::from_secs(5);
/// How many connections above its limit a proxy answers at least, be it with a refusal.
pub(in crate::judge) const RESERVE: usize = 8;
/// How long the run's own requests wait.
const OWN_PATIENCE: Duration = Duration::from_secs(30);
/// How much later than its longest back-off an ejected upstream may come back: its probe has to be asked for and answered.
pub(in crate::judge) const RECOVERY_MARGIN: Duration = Duration::from_secs(5);

/// What clients and upstreams saw of a run.
pub struct Witnesses<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The proxy as its folder describes it.
    pub subject: &'a Subject,
    /// The host of the proxy.
    pub proxy: &'a str,
    /// The configurations that the proxy was given.
    pub configurations: Configurations<'a>,
    /// The requests that clients made, by the id of each.
    pub requests: BTreeMap<&'a str, ClientRequest<'a>>,
    /// The requests that are for the proxy itself, its pages and abuse, of which no upstream hears.
    pub pages: BTreeMap<&'a str, ClientRequest<'a>>,
    /// What upstreams wrote down.
    pub journals: Journals<'a>,
    /// What was done to whom.
    pub disturbances: Disturbances<'a>,
    /// Who was connected to the proxy, where it allows only so many.
    pub crowd: Option<Crowd>,
    /// When the entries of the timeline were played.
    pub played: Vec<(Duration, &'a Action)>,
    /// When everything was healed and progress was demanded.
    pub liveness: Duration,
    /// The rounds of requests that followed once everything was healed and the longest back-off was over.
    pub convergence: Option<Convergence>,
    /// What the proxy's machine did not do.
    pub machine: Machine<'a>,
    /// What the pages of health answered when all was healed and quiet, by the line in the trace.
    pub last_pages: Vec<(usize, &'a str, u16)>,
    /// When the last thing was witnessed.
    pub over: Duration,
    /// What the scenario asked for and could not be done, by its line in the trace.
    pub failed_actions: Vec<(usize, &'a str)>,
    /// What tasks panicked with.
    pub panics: &'a [String],
    /// What was left of the proxy when it had stopped.
    pub left: &'a [(HostName, String)],
    /// Progress that was demanded and not made.
    pub stuck: Option<&'a str>,
    /// How far apart two witnesses may stamp the same instant. Zero in a simulation.
    pub clock_skew: Duration,
    /// How late the engine may do what is due. Zero in a simulation.
    pub tolerance: Duration,
}

/// Whole rounds of the schedule that were asked for at the end.
#[derive(Clone, Copy, Debug)]
pub struct Convergence {
    /// The line behind which they were.
    pub line: usize,
    /// When they began.
    pub at: Duration,
    /// First picks in a round.
    pub round: u64,
    /// How many rounds.
    pub rounds: u64,
}

impl<'a> Witnesses<'a> {
    /// What `record` holds of what concerns the proxy on `proxy` in a run of `scenario`, but for what the proxy told.
    pub(super) fn of(scenario: &'a Scenario, record: &'a RunRecord, proxy: &'a str) -> Self {
        let lines = record.trace.lines.as_slice();
        let mut requests: BTreeMap<&str, ClientRequest<'_>> = BTreeMap::new();
        let mut pages: BTreeMap<&str, ClientRequest<'_>> = BTreeMap::new();
        let mut journals = Journals::default();
        let mut played = Vec::new();
        let mut failed_actions = Vec::new();
        let mut machine_faults = Vec::new();
        let mut last_pages = Vec::new();
        let mut machine = Machine::default();
        let mut liveness = scenario.duration.get();
        let mut convergence = None;
        for (place, line) in lines.iter().enumerate() {
            match &line.what {
                // What it answers to whoever asks is no word of its own about a request.
                What::Proxy(ProxyEvent::Page { path, status }) => last_pages.push((place, path.as_str(), *status)),
                What::Proxy(_) => {}
                What::Client(ClientEvent::Asked { id, action, method, target, user, .. }) => {
                    let (client, began) = (line.host.as_str(), line.at());
                    let (user, entrance) = (user.as_deref(), scenario.entrance_of(client));
                    let asked =
                        ClientRequest { client, entrance, line: place, began, action, method, target, user, end: None };
                    if matches!(*action, "page" | "abuse") {
                        pages.insert(id, asked)
                    } else {
                        requests.insert(id, asked)
                    };
                }
                What::Client(ClientEvent::Ended(result)) => {
                    let id = result.id.as_str();
                    if let Some(asked) = requests.get_mut(id).or_else(|| pages.get_mut(id)) {
                        asked.end = Some(RequestEnd { line: place, at: line.at(), result });
                    }
                }
                What::Upstream(event) => {
                    let began = |id: &str| Some(requests.get(id)?.began);
                    journals.read(place, line.at(), line.host.as_str(), event, began);
                }
                What::Scenario(ScenarioEvent::Played { entry, .. }) => {
                    played.extend(scenario.timeline.get(*entry).map(|entry| (line.at(), &entry.action)));
                }
                What::Scenario(ScenarioEvent::Phase { name: "liveness" }) => liveness = line.at(),
                What::Scenario(ScenarioEvent::Converged { round, rounds, .. }) => {
                    convergence = Some(Convergence { line: place, at: line.at(), round: *round, rounds: *rounds });
                }
                What::Scenario(ScenarioEvent::Failed { what }) => failed_actions.push((place, what.as_str())),
                // A failing accept costs time only, and other addresses some of it.
                What::Scenario(ScenarioEvent::Chance { of: "dns-failure", what }) => {
                    machine.failed_lookups.push((line.at(), what.as_str()));
                }
                What::Scenario(ScenarioEvent::Chance { of: "no-descriptor", .. }) => {
                    machine_faults.push((line.at(), line.at() + machine::REST));
                    machine.lacks.push(line.at());
                }
                What::Scenario(ScenarioEvent::Chance { of: "accept-error", .. }) => {
                    machine.accept_errors.push(line.at())
                }
                What::Scenario(_) => {}
            }
        }
        let configurations = Configurations::new(scenario, proxy, &played, liveness);
        let disturbances = Disturbances::new(scenario, proxy, &played, &journals, &machine_faults, liveness);
        let over = lines.last().map_or(Duration::ZERO, |line| line.at());
        let seen = |id: &str| requests.get(id)?.result()?.status;
        let strange = |entry: &JournalEntry<'_>, id: &str| {
            let Some(asked) = requests.get(id) else { return false };
            if entry.record.method != asked.method {
                return true;
            }
            // Whoever was asked only once the client had its answer has not given it.
            if asked.opened().zip(entry.opened).is_some_and(|(told, opened)| opened > told + record.clock_skew) {
                return true;
            }
            // Another upstream may have had the request, and was killed before it wrote it down; but not where the proxy refused it.
            let refused = asked.result().and_then(|result| result.status).is_some_and(|status| status >= 400);
            let ended = asked.end.as_ref().map_or(over, |end| end.at);
            let mut others = scenario.upstreams.iter().map(|one| one.name.as_str()).filter(|host| *host != entry.host);
            !refused && entry.is_success() && others.any(|host| disturbances.killed(host, asked.began, ended))
        };
        let ended = |id: &str| Some(requests.get(id)?.end.as_ref()?.at);
        journals.set_probes_aside(strange, seen, ended);
        let asked = requests.values().chain(pages.values());
        let crowd = Crowd::new(
            proxy,
            &configurations,
            &played,
            asked,
            (one_way(scenario, &played), resending(scenario, &played)),
        );
        Witnesses {
            scenario,
            subject: &record.subject,
            proxy,
            configurations,
            crowd,
            requests,
            pages,
            journals,
            disturbances,
            played,
            liveness,
            convergence,
            last_pages,
            machine,
            over,
            failed_actions,
            panics: &record.panics,
            left: &record.left,
            stuck: record.stuck.first().map(|(_, what)| what.as_str()),
            clock_skew: record.clock_skew,
            tolerance: record.tolerance,
        }
    }

    /// The client whose request has `id`, by the name in front of its number.
    pub fn client_of(id: &str) -> &str {
        id.rsplit_once('-').map_or(id, |(client, _)| client)
    }

    /// Whether the request with `id` is not a client's: every run makes some to see whether the proxy makes progress.
    pub fn is_own(id: &str) -> bool {
        Self::client_of(id).starts_with(LIVENESS)
    }

    /// When the request of a client ended; when the run did, where it never ended.
    pub fn end_of(&self, asked: &ClientRequest<'_>) -> Duration {
        asked.end.as_ref().map_or(self.over, |end| end.at)
    }

    /// What the request of a client does, if its client does only one thing.
    pub fn action_of(&self, asked: &ClientRequest<'_>) -> Option<&'a loadgen::Action> {
        let mut actions = self.client(asked)?.actions();
        let first = &actions.next()?.value().action;
        actions.next().is_none().then_some(first)
    }

    /// Whether the target of a request works, and the client expects a success of it.
    pub fn should_succeed(&self, asked: &ClientRequest<'_>) -> bool {
        let expects_success = |action: &loadgen::Action| match &action.kind {
            ActionKind::Http { exchange, .. } | ActionKind::Tls { exchange } => exchange.status.is_none(),
            _ => true,
        };
        Builtin::named(asked.host()).is_some()
            && self.action_of(asked).is_none_or(expects_success)
            && !self.may_fall_idle(asked)
            && !self.may_come_too_late(asked)
    }

    /// How long the target of a request takes before it answers, if it makes the client wait for a reply.
    pub fn reply_of(&self, asked: &ClientRequest<'_>) -> Option<Duration> {
        match Builtin::named(asked.host())? {
            Builtin::Slow { delay } if !asked.is_tunnel() => Some(delay),
            _ => None,
        }
    }

    /// Whether the target of a request may take longer than the proxy waits for a reply.
    fn may_come_too_late(&self, asked: &ClientRequest<'_>) -> bool {
        let Some(takes) = self.reply_of(asked) else { return false };
        let longest = takes + self.one_way() * 4 + self.resending() + self.tolerance;
        self.configurations.during(asked.began, self.end_of(asked)).any(|one| longest >= one.timeouts.reply)
    }

    /// Whether a request may wait behind others on its connection.
    pub fn may_be_pipelined(&self, asked: &ClientRequest<'_>) -> bool {
        let pipelines = |action: &loadgen::Action| {
            matches!(action.kind, ActionKind::Http { connection: ConnectionUse::Pipelined { .. }, .. })
        };
        !asked.is_tunnel() && self.action_of(asked).is_none_or(pipelines)
    }

    /// Whether the client of a tunnel sends its whole head at once and nothing with it: the time until its reply counts from then on.
    pub fn sends_its_head_at_once(&self, id: &str, asked: &ClientRequest<'_>) -> bool {
        let at_once = |action: &loadgen::Action| {
            action.throttle.is_none() && !matches!(action.kind, ActionKind::Echo { early: true, .. })
        };
        // The run's own do.
        asked.is_tunnel() && (Self::is_own(id) || self.action_of(asked).is_some_and(at_once))
    }

    /// How long the client of a request waits for it.
    pub fn patience(&self, asked: &ClientRequest<'_>) -> Duration {
        self.client(asked).map_or(OWN_PATIENCE, |client| client.timeout.get())
    }

    /// Whether a CONNECT may have got no answer because its connection was open before, and was closing.
    pub fn was_warm(&self, asked: &ClientRequest<'_>, entry: &JournalEntry<'_>) -> bool {
        let configurations = &self.configurations;
        let leads = |name: &str| name == entry.host || configurations.is_alias(name);
        let mut upstreams = configurations.during(asked.began, self.end_of(asked)).flat_map(|config| &config.upstreams);
        // A reset overtakes the answer that a fault wrote in front of it.
        let unheard =
            entry.record.outcome == Outcome::Faulted || entry.record.status.is_none_or(|status| status == 408);
        unheard && upstreams.any(|one| leads(&one.host) && one.warm_connections.is_some())
    }

    /// The client that asked.
    pub fn client(&self, asked: &ClientRequest<'_>) -> Option<&'a Client> {
        self.scenario.clients.iter().find(|client| client.name == asked.client)
    }

    /// Whether the proxy was there when a request began, accepted requests, and could be reached by its client.
    pub fn reaches_the_proxy(&self, asked: &ClientRequest<'_>) -> bool {
        let began = asked.began;
        let delay = self.configurations.at(began).server.drain_delay;
        self.disturbances.of_client(asked.client, began, began).is_none()
            && self.disturbances.of_proxy(began, began).is_none()
            && self.disturbances.stopped().is_none_or(|stopped| began < stopped + delay)
    }

    /// Whether a request that ended at `until` came with good credentials. `None` where only the proxy could tell: a
    /// password stands in the configuration as a hash, or the configuration changed meanwhile.
    pub fn is_admitted(&self, asked: &ClientRequest<'_>, until: Duration) -> Option<bool> {
        let admits = |pair| self.configurations.admits(pair, asked.began, until);
        match (self.client(asked), asked.user) {
            // The run's own requests come as somebody whom the proxy would let in.
            (None, _) => Some(true),
            (Some(_), None) => admits(None),
            (Some(client), Some(user)) => {
                let pairs = client.users.iter().map(Written::text);
                let mut mine = pairs.filter(|pair| pair.split_once(':').is_some_and(|(name, _)| name == user));
                let first = admits(mine.next())?;
                mine.all(|pair| admits(Some(pair)) == Some(first)).then_some(first)
            }
        }
    }

    /// Whether the upstream `host` answers whoever comes as the configuration says: it asks for no other credentials, and answers
    /// well within the time that the proxy gives it.
    pub fn serves(&self, upstream: &Upstream, host: &str, config: &Config) -> bool {
        let Some(own) = self.scenario.upstreams.iter().find(|one| one.name == host) else { return false };
        let slow = self.is_slow(host, config);
        let tls = match &upstream.transport {
            Transport::Plain => !own.tls,
            Transport::Tls { server_name, .. } => own.tls && server_name == host,
        };
        !slow && tls && configurations::credentials_fit(upstream, own.auth.as_deref())
    }

    /// Whether the upstream on `host` takes so long by itself that the proxy may not wait for its answer.
    pub fn is_slow(&self, host: &str, config: &Config) -> bool {
        let latency = self.scenario.upstreams.iter().find(|one| one.name == host).and_then(|one| one.latency);
        latency.is_some_and(|latency| latency.get() * 2 > config.timeouts.reply)
    }

    /// The longest that a packet takes from one host to another, without losses.
    pub fn one_way(&self) -> Duration {
        one_way(self.scenario, &self.played)
    }

    /// Why a client may have been turned away because too many were there when it came, or may have had to wait where the proxy keeps a
    /// `reserve`. At the listener of the proxy's own pages only who comes there too counts.
    pub fn crowded(&self, asked: &ClientRequest<'_>, reserve: usize) -> Option<Excuse> {
        let crowd = self.crowd.as_ref()?;
        let connected = asked.result().and_then(|result| result.phases.connect_us);
        let until = connected.map_or(self.end_of(asked), |us| asked.began + Duration::from_micros(us) + self.one_way());
        crowd.exceeds((asked.entrance, reserve), asked.began, until).then_some(Excuse::Crowded)
    }

    /// How much longer an answer may take because packets are lost.
    pub fn resending(&self) -> Duration {
        resending(self.scenario, &self.played)
    }

    /// Whether some packets of this network are lost, be it few.
    pub fn loses_packets(&self) -> bool {
        loses_packets(self.scenario, &self.played)
    }
}

/// How much longer something may take in this network because packets are lost.
fn resending(scenario: &Scenario, played: &[(Duration, &Action)]) -> Duration {
    if loses_packets(scenario, played) { RESENDING } else { Duration::ZERO }
}

fn loses_packets(scenario: &Scenario, played: &[(Duration, &Action)]) -> bool {
    let network = &scenario.network;
    network.loss > 0.0
        || network.links.iter().any(|link| link.loss.is_some_and(|loss| loss > 0.0))
        || played.iter().any(|(_, action)| matches!(action, Action::Loss { share, .. } if *share > 0.0))
}

/// The longest that a packet takes from one host to another, without losses.
fn one_way(scenario: &Scenario, played: &[(Duration, &Action)]) -> Duration {
    let network = &scenario.network;
    let of = |latency: Span, jitter: Span| latency.get() + jitter.get();
    let links = network.links.iter();
    let links = links.map(|link| of(link.latency.unwrap_or(network.latency), link.jitter.unwrap_or(network.jitter)));
    let delays = played.iter().filter_map(|(_, action)| match action {
        Action::Delay { latency, jitter, .. } => Some(of(*latency, *jitter)),
        _ => None,
    });
    let longest = links.chain(delays).fold(of(network.latency, network.jitter), Duration::max);
    longest + network.reorder.map_or(Duration::ZERO, |reorder| reorder.by.get()) + network.tick.get() * 2
}
