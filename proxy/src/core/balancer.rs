//! Decides which upstreams are eligible and in which order they are picked.
//!
//! First picks are not made here but from an [`Epoch`], an immutable value that any thread may hold: its schedule and
//! a ticket say whose turn it is. Whenever who is eligible changes, a new epoch takes its place. It starts at another
//! offset, drawn from where the old one had got to; otherwise every change would give the next turns to the same few.

pub mod lag;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::health::{AttemptResult, Change, Charge, HealthPolicy, UpstreamHealth};
use super::schedule::{Schedule, ScheduleTooLong, Shares};
use super::time::Timestamp;
use super::upstream::{Attempt, Member, UpstreamId};

/// A span of picks during which the same upstreams are eligible with the same weights.
///
/// Counted from the schedule's start no upstream is ever a whole pick off its share. An epoch that starts elsewhere
/// (every one but the first) is the difference of two such counts: less than two picks off, and exact after each
/// period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    number: u64,
    offset: u64,
    schedule: Arc<Schedule>,
}

impl Epoch {
    fn first(schedule: Schedule) -> Self {
        Epoch { number: 0, offset: 0, schedule: Arc::new(schedule) }
    }

    /// The epoch that follows once `ticket` is the next of this one.
    fn following(&self, schedule: Schedule, ticket: u64) -> Self {
        let number = self.number + 1;
        let position = mix(self.offset.wrapping_add(ticket)) ^ number;
        let offset = mix(position).checked_rem(schedule.period()).unwrap_or(0);
        Epoch { number, offset, schedule: Arc::new(schedule) }
    }

    /// Which epoch, counted from 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The schedule's position that ticket 0 stands for.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The order of turns.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// How many upstreams are eligible.
    pub fn eligible(&self) -> usize {
        self.schedule.upstreams()
    }

    /// The upstream whose turn `ticket` is; each epoch's tickets start at 0. `None` if no upstream is eligible.
    pub fn pick(&self, ticket: u64) -> Option<UpstreamId> {
        self.schedule.at(self.offset.wrapping_add(ticket))
    }
}

/// The finisher of SplitMix64: spreads whatever differs over all bits.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A change in one upstream's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whose.
    pub upstream: UpstreamId,
    /// What.
    pub change: Change,
}

/// What a configuration makes of picking, worked out while requests go on: a schedule may have a million slots.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All of them, in order of id.
    members: Vec<Member>,
    shares: Shares,
    /// Those that the schedule holds.
    eligible: Vec<UpstreamId>,
    schedule: Schedule,
}

impl Plan {
    /// For `members`, of whom those that are `out` take no picks.
    ///
    /// # Errors
    /// [`ScheduleTooLong`] where the weights have too little in common.
    pub fn new(members: &[Member], out: impl Fn(UpstreamId) -> bool) -> Result<Self, ScheduleTooLong> {
        let members = in_order(members);
        let shares = Shares::new(&members)?;
        let eligible = shares.members().iter().map(|member| member.id).filter(|id| !out(*id)).collect();
        let schedule = shares.schedule(|id| !out(id));
        Ok(Plan { members, shares, eligible, schedule })
    }
}

/// The upstreams of one proxy, as picking sees them.
#[derive(Clone, Debug)]
pub struct Balancer {
    policy: HealthPolicy,
    /// Who may be picked at all, in order of id.
    shares: Shares,
    /// Of every member, those of weight 0 too.
    health: BTreeMap<UpstreamId, UpstreamHealth>,
    epoch: Epoch,
}

impl Balancer {
    /// A balancer over `members`, all of them eligible. Ids are taken to differ.
    ///
    /// # Errors
    /// [`ScheduleTooLong`] where the weights have too little in common.
    pub fn new(policy: HealthPolicy, members: &[Member]) -> Result<Self, ScheduleTooLong> {
        let shares = Shares::new(&in_order(members))?;
        let health = members.iter().map(|member| (member.id, UpstreamHealth::default())).collect();
        let epoch = Epoch::first(shares.schedule(|_| true));
        Ok(Balancer { policy, shares, health, epoch })
    }

    /// Takes over another configuration; `ticket` is the next of the epoch in force. Upstreams that stay keep their
    /// health, but for those `anew`, which are reached or known otherwise than before. Returns the new epoch, or `None`
    /// where the eligible and their weights are the same and all goes on.
    ///
    /// # Errors
    /// [`ScheduleTooLong`] where the weights have too little in common; then nothing has changed.
    pub fn configure(
        &mut self,
        policy: HealthPolicy,
        members: &[Member],
        anew: &[UpstreamId],
        moment: (u64, Timestamp),
    ) -> Result<Option<Epoch>, ScheduleTooLong> {
        Ok(self.adopt(policy, Plan::new(members, |id| self.is_out(id))?, anew, moment))
    }

    /// The same with a `plan` that was made before. Where another upstream has been ejected or has recovered since, its schedule is
    /// of no use, and is worked out again.
    pub fn adopt(
        &mut self,
        policy: HealthPolicy,
        plan: Plan,
        anew: &[UpstreamId],
        (ticket, now): (u64, Timestamp),
    ) -> Option<Epoch> {
        let Plan { members, shares, eligible, schedule } = plan;
        (self.shares, self.policy) = (shares, policy);
        let kept = |id| match self.health.get(&id) {
            Some(_) if anew.contains(&id) => UpstreamHealth::anew(now),
            Some(health) => *health,
            None => UpstreamHealth::default(),
        };
        self.health = members.iter().map(|member| (member.id, kept(member.id))).collect();
        let now_eligible = self.shares.members().iter().map(|member| member.id).filter(|id| self.is_eligible(*id));
        let renewed = if now_eligible.eq(eligible) { self.follow(schedule, ticket) } else { self.renew(ticket) };
        renewed.then(|| self.epoch.clone())
    }

    /// Whether an upstream is known and takes no picks.
    pub fn is_out(&self, id: UpstreamId) -> bool {
        self.health.get(&id).is_some_and(|health| !health.is_eligible())
    }

    /// The epoch in force.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// How many upstreams a request may still be sent to: the eligible ones that are not `excluded`, or all such with a
    /// weight where none is eligible.
    pub fn candidates(&self, excluded: &[UpstreamId]) -> usize {
        let nobody = self.epoch.schedule.is_empty();
        let rest = self.shares.members().iter().filter(|member| !excluded.contains(&member.id));
        rest.filter(|member| nobody || self.is_eligible(member.id)).count()
    }

    /// How many upstreams are eligible.
    pub fn eligible_count(&self) -> usize {
        self.epoch.eligible()
    }

    /// How many upstreams have a weight above 0.
    pub fn usable_count(&self) -> usize {
        self.shares.members().len()
    }

    /// An upstream's health; `None` where it is no member.
    pub fn health(&self, id: UpstreamId) -> Option<UpstreamHealth> {
        self.health.get(&id).copied()
    }

    /// An attempt has ended. `ticket` is the next of the epoch in force, which changes here when its upstream is
    /// ejected or recovers; `random` spreads the back-off. Reports on upstreams that have left are ignored.
    pub fn report(
        &mut self,
        attempt: Attempt,
        result: AttemptResult,
        ticket: u64,
        random: u64,
        now: Timestamp,
    ) -> Option<Transition> {
        let health = self.health.get_mut(&attempt.upstream)?;
        let change = health.report(&self.policy, attempt, result, random, now);
        let suspect = matches!(result, AttemptResult::Failure(_)) && health.is_suspect(&self.policy);
        let change = if suspect { self.suspect(attempt.upstream, now) } else { change }?;
        if !matches!(change, Change::BackedOff { .. }) {
            self.renew(ticket);
        }
        Some(Transition { upstream: attempt.upstream, change })
    }

    /// Somebody takes an upstream out by hand, as if its failures had ejected it. `None` where they have, or where it is no
    /// member.
    pub fn take_out(&mut self, id: UpstreamId, ticket: u64, random: u64, now: Timestamp) -> Option<Transition> {
        let change = self.health.get_mut(&id)?.take_out(&self.policy, random, now)?;
        self.renew(ticket);
        Some(Transition { upstream: id, change })
    }

    /// Somebody lets an upstream back in by hand. `None` where it is not out.
    pub fn let_in(&mut self, id: UpstreamId, ticket: u64, now: Timestamp) -> Option<Transition> {
        let change = self.health.get_mut(&id)?.let_in(now)?;
        self.renew(ticket);
        Some(Transition { upstream: id, change })
    }

    /// Takes the probe that is due longest, for the caller to send; else that of an upstream which waits for a target to
    /// be probed with, as soon as it `has_target`.
    pub fn take_probe(
        &mut self,
        has_target: impl Fn(UpstreamId, Charge) -> bool,
        now: Timestamp,
    ) -> Option<UpstreamId> {
        let ejection = |id: UpstreamId| self.health.get(&id).and_then(UpstreamHealth::ejection);
        let has_target = |id| ejection(id).is_some_and(|ejection| has_target(id, ejection.charge));
        let wanting = |id| ejection(id).is_some_and(|ejection| ejection.wants_target()) && has_target(id);
        let mut due: Vec<_> = self.probes_due().collect();
        due.sort();
        let (_, id) = due.into_iter().find(|(due, id)| *due <= now || wanting(*id))?;
        let has_target = has_target(id);
        self.health.get_mut(&id)?.take_probe(has_target, now).then_some(id)
    }

    /// Whether an upstream waits for a target to be probed with.
    pub fn wants_target(&self) -> bool {
        self.health.values().filter_map(UpstreamHealth::ejection).any(|ejection| ejection.wants_target())
    }

    /// Whether a request could be served now, by an upstream as a last resort if need be.
    pub fn may_serve(&self) -> bool {
        let may = |member: &Member| self.health.get(&member.id).is_some_and(UpstreamHealth::may_serve);
        self.shares.members().iter().any(may)
    }

    fn suspect(&mut self, id: UpstreamId, now: Timestamp) -> Option<Change> {
        // Looks at all upstreams, so that it is asked last.
        let may = self.may_suspect(id);
        self.health.get_mut(&id).filter(|_| may).map(|health| health.suspect(&self.policy, now))
    }

    /// Whether `id` may leave for what a target could have caused: one upstream always may, more only as long as they
    /// have no more than their share of all weight.
    fn may_suspect(&self, id: UpstreamId) -> bool {
        let out = |member: &&Member| self.health.get(&member.id).is_some_and(UpstreamHealth::is_out_in_doubt);
        let weight = |member: &Member| u64::from(member.weight.get());
        let members = self.shares.members();
        let all: u64 = members.iter().map(weight).sum();
        let gone: u64 = members.iter().filter(out).map(weight).sum();
        let own: u64 = members.iter().filter(|member| member.id == id).map(weight).sum();
        gone == 0 || (gone + own) * 100 <= all * u64::from(self.policy.max_ejection_percent)
    }

    /// When the next probe may be taken; `None` where none is wanted.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.probes_due().map(|(due, _)| due).min()
    }

    /// The pick behind a failed one: among the eligible that are not `excluded` the one with the smallest load for its
    /// weight, ties by id. Where nobody at all is eligible, and only then, the one that failed least since its last
    /// success, ties by `turn`. It takes no ticket.
    pub fn failover(&self, excluded: &[UpstreamId], turn: u64, load: impl Fn(UpstreamId) -> u64) -> Option<UpstreamId> {
        let rest = || self.shares.members().iter().filter(|member| !excluded.contains(&member.id));
        if self.epoch.schedule.is_empty() {
            return self.least_failed(rest().map(|member| member.id).collect(), turn);
        }
        let eligible = rest().filter(|member| self.is_eligible(member.id));
        let loaded =
            eligible.map(|member| (u128::from(load(member.id)) + 1, u128::from(member.weight.get()), member.id));
        loaded.min_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1))).map(|(_, _, id)| id)
    }

    fn least_failed(&self, among: Vec<UpstreamId>, turn: u64) -> Option<UpstreamId> {
        let failures = |id: &UpstreamId| self.health.get(id).map(UpstreamHealth::failures);
        let least = among.iter().map(failures).min()?;
        let tied: Vec<UpstreamId> = among.into_iter().filter(|id| failures(id) == least).collect();
        tied.get(turn.checked_rem(tied.len() as u64)? as usize).copied()
    }

    fn is_eligible(&self, id: UpstreamId) -> bool {
        self.health.get(&id).is_some_and(UpstreamHealth::is_eligible)
    }

    fn probes_due(&self) -> impl Iterator<Item = (Timestamp, UpstreamId)> {
        let due = |member: &Member| Some((self.health.get(&member.id)?.probe_due()?, member.id));
        self.shares.members().iter().filter_map(due)
    }

    /// Starts a new epoch if the present one is no longer true.
    fn renew(&mut self, ticket: u64) -> bool {
        self.follow(self.shares.schedule(|id| self.is_eligible(id)), ticket)
    }

    fn follow(&mut self, schedule: Schedule, ticket: u64) -> bool {
        let changed = schedule != *self.epoch.schedule;
        if changed {
            self.epoch = self.epoch.following(schedule, ticket);
        }
        changed
    }
}

/// By id, so that the order in a file, which says nothing about picking, cannot start a new epoch.
fn in_order(members: &[Member]) -> Vec<Member> {
    let mut members = members.to_vec();
    members.sort_by_key(|member| member.id);
    members
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
