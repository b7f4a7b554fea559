//! Plays the pure core as the pool does: requests with their attempts, probes, reloads, time.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::blamed::{Broken, Doubt, law};
use super::laws::Laws;
use super::scope::{How, PROBE_ENDS, ProbeEnd, Reload, Scope, Step, Wait};
use crate::core::attribution::{Attributed, Attribution, DEFAULT_MEMORY, Evidence, Failure, Service};
use crate::core::balancer::Balancer;
use crate::core::failover::{Budget, RetryBudget};
use crate::core::health::{AttemptResult, Charge};
use crate::core::time::Timestamp;
use crate::core::upstream::{Attempt, Member, UpstreamId, Weight};

/// When a search begins: later than any span and larger than any count, so that a time is told from them by its size.
const START: Timestamp = Timestamp::from_nanos(1 << 50);

/// Jitter aside, which has its own tests: every back-off is as short as it may be.
const NO_JITTER: u64 = 0;

/// The one target of all requests.
const TARGET: &str = "target.test:443";

/// A request that waits for the end of its attempt.
#[derive(Clone)]
struct Request {
    attempt: Attempt,
    tried: Vec<UpstreamId>,
    evidence: Evidence,
    /// The failures that the evidence holds.
    doubts: Vec<Doubt>,
    budget: Budget,
    began: Timestamp,
}

/// The core in the middle of a search.
#[derive(Clone)]
pub(super) struct World {
    scope: &'static Scope,
    now: Timestamp,
    /// Nothing has happened at this time yet.
    quiet: bool,
    members: Vec<Member>,
    next_id: u32,
    balancer: Balancer,
    ticket: u64,
    turn: u64,
    requests: Vec<Request>,
    /// Each with whether there was a target for it.
    probes: Vec<(Attempt, bool)>,
    failures: Attribution,
    empty_tunnels: Attribution,
    retries: RetryBudget,
    /// Who opened the target last, and when.
    opened: Option<(UpstreamId, Timestamp)>,
    brought_nothing: BTreeSet<UpstreamId>,
    laws: Laws,
}

impl World {
    /// The world after `steps`, which are known to keep the laws.
    pub(super) fn played(scope: &'static Scope, steps: &[Step]) -> Self {
        let member = |(number, &weight)| Member { id: UpstreamId::new(number), weight: Weight::new(weight).unwrap() };
        let members: Vec<Member> = (0..).zip(scope.weights).map(member).collect();
        let balancer = Balancer::new(scope.health(), &members).unwrap();
        let mut world = World {
            scope,
            now: START,
            quiet: true,
            next_id: members.len() as u32,
            ticket: 0,
            turn: 0,
            requests: Vec::new(),
            probes: Vec::new(),
            failures: Attribution::new(DEFAULT_MEMORY),
            empty_tunnels: Attribution::new(DEFAULT_MEMORY),
            retries: RetryBudget::default(),
            opened: None,
            brought_nothing: BTreeSet::new(),
            laws: Laws::new(scope.health(), scope.failover(), &members, balancer.epoch()),
            balancer,
            members,
        };
        for step in steps {
            world.play(*step).expect("it kept the laws before");
        }
        world
    }

    /// What can happen next.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.requests.len() < self.scope.requests {
            steps.push(Step::Begin);
        }
        for (request, _) in self.requests.iter().enumerate() {
            steps.extend(self.scope.failures.iter().map(|how| Step::Fail(request, *how)));
            steps.push(Step::Open(request));
            if self.scope.tunnels_may_be_empty {
                steps.push(Step::OpenEmpty(request));
            }
            steps.push(Step::Cut(request));
        }
        steps.push(Step::TakeProbe);
        for (probe, (_, has_target)) in self.probes.iter().enumerate() {
            let ends = PROBE_ENDS.iter().filter(|end| *has_target || !matches!(end, ProbeEnd::Disproved));
            steps.extend(ends.map(|end| Step::EndProbe(probe, *end)));
        }
        steps.extend(self.scope.reloads.iter().map(|reload| Step::Reload(*reload)));
        if !self.quiet {
            steps.push(Step::Wait(Wait::Moment));
        }
        if self.balancer.next_wakeup().is_some_and(|due| due > self.now) {
            steps.push(Step::Wait(Wait::ForProbe));
        }
        steps.push(Step::Wait(Wait::Long));
        steps
    }

    /// `step` happens. Tells the law that it breaks.
    pub(super) fn play(&mut self, step: Step) -> Result<(), Broken> {
        self.quiet = matches!(step, Step::Wait(_));
        match step {
            Step::Begin => self.begin()?,
            Step::Fail(request, how) => self.fail(request, how)?,
            Step::Open(request) => self.open(request, true)?,
            Step::OpenEmpty(request) => self.open(request, false)?,
            Step::Cut(request) => {
                let request = self.requests.remove(request);
                self.report(request.attempt, AttemptResult::Neutral)?;
            }
            Step::TakeProbe => self.take_probe()?,
            Step::EndProbe(probe, end) => self.end_probe(probe, end)?,
            Step::Reload(reload) => self.reload(reload)?,
            Step::Wait(Wait::Moment) => self.now = self.now.after(Duration::from_secs(1)),
            Step::Wait(Wait::ForProbe) => self.now = self.balancer.next_wakeup().unwrap(),
            Step::Wait(Wait::Long) => self.now = self.now.after(DEFAULT_MEMORY),
        }
        self.laws.hold(&self.balancer, self.now)
    }

    fn begin(&mut self) -> Result<(), Broken> {
        let mut budget = Budget::new(self.scope.failover(), self.now);
        let behind = self.balancer.candidates(&[]).saturating_sub(1);
        let allowance = budget.next(behind, self.now);
        self.laws.allowed(0, self.now, allowance, self.now)?;
        let Some(upstream) = self.first_pick()? else { return Ok(()) };
        self.retries.request(self.now);
        self.laws.requested(self.now);
        let (attempt, tried) = (self.attempt(upstream), vec![upstream]);
        let (evidence, doubts) = (Evidence::new(Service::Tunnel), Vec::new());
        self.requests.push(Request { attempt, tried, evidence, doubts, budget, began: self.now });
        Ok(())
    }

    fn attempt(&self, upstream: UpstreamId) -> Attempt {
        Attempt { upstream, started: self.now, probe: false }
    }

    fn first_pick(&mut self) -> Result<Option<UpstreamId>, Broken> {
        if self.balancer.eligible_count() == 0 {
            return self.pick_behind(&[]);
        }
        let picked = self.balancer.epoch().pick(self.ticket);
        self.laws.first_picked(self.balancer.epoch(), self.ticket, picked)?;
        self.ticket += 1;
        Ok(picked)
    }

    fn pick_behind(&mut self, tried: &[UpstreamId]) -> Result<Option<UpstreamId>, Broken> {
        let requests = &self.requests;
        let load = |id| requests.iter().filter(|request| request.attempt.upstream == id).count() as u64;
        let picked = self.balancer.failover(tried, self.turn, load);
        self.turn += 1;
        self.laws.picked_behind(tried, load, picked)?;
        Ok(picked)
    }

    fn fail(&mut self, number: usize, how: How) -> Result<(), Broken> {
        let mut request = self.requests.remove(number);
        let blamed = request.evidence.failed(request.attempt, how.failure());
        let certain = matches!(how, How::Refused | How::Unreadable);
        law(blamed.is_some() == certain, || {
            format!("what is plain is blamed at once, what can't tell is not: {blamed:?}")
        })?;
        if !certain {
            request.doubts.push(Doubt { attempt: request.attempt, silence: matches!(how, How::Silent) });
        }
        if let Some(one) = blamed {
            law(one.charge.is_some_and(Charge::is_certain), || {
                format!("{how:?} is the upstream's for certain: {one:?}")
            })?;
            self.report(one.attempt, one.result())?;
        }
        match self.next_attempt(&mut request)? {
            Some(upstream) => {
                request.attempt = self.attempt(upstream);
                request.tried.push(upstream);
                self.requests.insert(number, request);
                Ok(())
            }
            None => {
                let blamed = self.failures.none_opened(TARGET, request.evidence, self.now);
                self.laws.none_opened(&request.doubts, &blamed, self.now)?;
                self.settle(&blamed)
            }
        }
    }

    fn next_attempt(&mut self, request: &mut Request) -> Result<Option<UpstreamId>, Broken> {
        let behind = self.balancer.candidates(&request.tried).saturating_sub(1);
        let allowance = request.budget.next(behind, self.now);
        self.laws.allowed(request.tried.len(), request.began, allowance, self.now)?;
        if allowance.is_err() {
            return Ok(None);
        }
        let allowed = self.retries.take(&self.scope.failover().retry_budget, self.now);
        self.laws.retried(allowed, self.now)?;
        if allowed { self.pick_behind(&request.tried) } else { Ok(None) }
    }

    fn open(&mut self, number: usize, delivers: bool) -> Result<(), Broken> {
        let Request { attempt, evidence, doubts, .. } = self.requests.remove(number);
        self.report(attempt, AttemptResult::Success)?;
        self.opened = Some((attempt.upstream, self.now));
        let blamed = self.failures.opened(TARGET, attempt.upstream, evidence, self.now);
        self.laws.opened(attempt.upstream, &doubts, &blamed, self.now)?;
        self.settle(&blamed)?;
        let mut evidence = Evidence::new(Service::Tunnel);
        if delivers {
            if self.brought_nothing.remove(&attempt.upstream) {
                self.report(attempt, AttemptResult::Delivered)?;
            }
            let blamed = self.empty_tunnels.opened(TARGET, attempt.upstream, evidence, self.now);
            self.laws.delivered(attempt.upstream, &blamed, self.now)?;
            self.settle(&blamed)
        } else {
            self.brought_nothing.insert(attempt.upstream);
            let plain = evidence.failed(attempt, Failure::EmptyTunnel);
            law(plain.is_none(), || format!("an empty tunnel can't tell: {plain:?}"))?;
            let blamed = self.empty_tunnels.none_opened(TARGET, evidence, self.now);
            self.laws.brought_nothing(attempt, &blamed, self.now)?;
            self.settle(&blamed)
        }
    }

    fn take_probe(&mut self) -> Result<(), Broken> {
        let (opened, now) = (self.opened, self.now);
        let has_target = |id: UpstreamId| opened.is_some_and(|(by, at)| by != id && now.since(at) < DEFAULT_MEMORY);
        let taken = self.balancer.take_probe(|id, _| has_target(id), now);
        self.laws.probe_taken(taken, has_target, now)?;
        if let Some(upstream) = taken {
            self.probes.push((Attempt { probe: true, ..self.attempt(upstream) }, has_target(upstream)));
        }
        Ok(())
    }

    fn end_probe(&mut self, number: usize, end: ProbeEnd) -> Result<(), Broken> {
        let (attempt, _) = self.probes.remove(number);
        let result = match end {
            ProbeEnd::Works => AttemptResult::Success,
            ProbeEnd::Refused => AttemptResult::Failure(Charge::Unreachable),
            ProbeEnd::Disproved => Attributed::opened_elsewhere(attempt, Charge::Tunnel).result(),
            ProbeEnd::Reached => AttemptResult::Reached,
            ProbeEnd::Neutral => AttemptResult::Neutral,
        };
        self.report(attempt, result)
    }

    fn reload(&mut self, reload: Reload) -> Result<(), Broken> {
        let mut anew = Vec::new();
        match reload {
            Reload::Weights(weights) => {
                for (member, &weight) in self.members.iter_mut().zip(weights) {
                    member.weight = Weight::new(weight).unwrap();
                }
            }
            Reload::KnownOtherwise(place) => anew.push(self.members[place].id),
            Reload::Replaced(place) => {
                self.members[place].id = UpstreamId::new(self.next_id);
                self.next_id += 1;
            }
        }
        self.members.sort_by_key(|member| member.id);
        let position = (self.ticket, self.now);
        let renewed = self.balancer.configure(self.scope.health(), &self.members, &anew, position).unwrap();
        self.laws.configured(&self.members, &anew, renewed.as_ref(), self.now)?;
        self.renewed(renewed.is_some());
        Ok(())
    }

    fn settle(&mut self, blamed: &[Attributed]) -> Result<(), Broken> {
        blamed.iter().try_for_each(|one| self.report(one.attempt, one.result()))
    }

    fn report(&mut self, attempt: Attempt, result: AttemptResult) -> Result<(), Broken> {
        let before = self.balancer.epoch().number();
        let transition = self.balancer.report(attempt, result, self.ticket, NO_JITTER, self.now);
        self.renewed(self.balancer.epoch().number() != before);
        self.laws.reported(attempt, result, transition, &self.balancer, self.now)
    }

    fn renewed(&mut self, renewed: bool) {
        if renewed {
            self.ticket = 0;
        }
    }

    /// The same for states that have the same future. Times count from now, an epoch by what is left of it.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = FromNow { now: self.now.as_nanos(), hasher: DefaultHasher::new() };
        let epoch = self.balancer.epoch();
        let position = epoch.offset().wrapping_add(self.ticket).checked_rem(epoch.schedule().period());
        (self.quiet, position, self.turn % 6).hash(&mut hasher);
        for member in &self.members {
            (member.id, member.weight, self.balancer.health(member.id)).hash(&mut hasher);
        }
        for request in &self.requests {
            (request.attempt, &request.tried, &request.evidence, request.began).hash(&mut hasher);
        }
        (&self.probes, &self.failures, &self.empty_tunnels).hash(&mut hasher);
        (self.opened, &self.brought_nothing).hash(&mut hasher);
        self.laws.retries(self.now).hash(&mut hasher);
        hasher.finish()
    }
}

/// Hashes times as they are from now.
struct FromNow {
    now: u64,
    hasher: DefaultHasher,
}

impl Hasher for FromNow {
    fn finish(&self) -> u64 {
        self.hasher.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.hasher.write(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        let is_time = number >= START.as_nanos() / 2;
        self.hasher.write_u64(if is_time { self.now.wrapping_sub(number) } else { number });
    }
}
