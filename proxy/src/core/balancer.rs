//! Decides which upstreams are eligible and in which order they are picked.
//!
//! First picks are not made here but from an [`Epoch`], an immutable value that any thread may hold: its schedule and
//! a ticket say whose turn it is. Whenever who is eligible changes, a new epoch takes its place. It starts at another
//! offset, drawn from where the old one had got to; otherwise every change would give the next turns to the same few.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::health::{AttemptResult, Change, HealthPolicy, UpstreamHealth};
use super::schedule::{Schedule, ScheduleTooLong, Shares};
use super::time::Timestamp;
use super::upstream::{Attempt, Member, UpstreamId};

/// Who sends the probes that an ejected upstream comes back by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probing {
    /// A client's request is lent as one, with failover behind it.
    Lent,
    /// The prober, to check endpoints of its own.
    Checked,
}

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

/// The upstreams of one proxy, as picking sees them.
#[derive(Clone, Debug)]
pub struct Balancer {
    policy: HealthPolicy,
    probing: Probing,
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
    pub fn new(policy: HealthPolicy, probing: Probing, members: &[Member]) -> Result<Self, ScheduleTooLong> {
        let shares = Shares::new(&in_order(members))?;
        let health = members.iter().map(|member| (member.id, UpstreamHealth::default())).collect();
        let epoch = Epoch::first(shares.schedule(|_| true));
        Ok(Balancer { policy, probing, shares, health, epoch })
    }

    /// Takes over another configuration; `ticket` is the next of the epoch in force. Upstreams that stay keep their
    /// health. Returns the new epoch, or `None` where the eligible and their weights are the same and all goes on.
    ///
    /// # Errors
    /// [`ScheduleTooLong`] where the weights have too little in common; then nothing has changed.
    pub fn configure(
        &mut self,
        policy: HealthPolicy,
        probing: Probing,
        members: &[Member],
        ticket: u64,
    ) -> Result<Option<Epoch>, ScheduleTooLong> {
        self.shares = Shares::new(&in_order(members))?;
        self.policy = policy;
        self.probing = probing;
        let kept = |id| self.health.get(&id).copied().unwrap_or_default();
        self.health = members.iter().map(|member| (member.id, kept(member.id))).collect();
        Ok(self.renew(ticket).then(|| self.epoch.clone()))
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
        let change = health.report(&self.policy, attempt, result, random, now)?;
        if !matches!(change, Change::BackedOff { .. }) {
            self.renew(ticket);
        }
        Some(Transition { upstream: attempt.upstream, change })
    }

    /// Hands out the probe that has been due the longest, to `prober` if probing is its task. Whoever gets one reports
    /// an [`Attempt`] with `probe` set, whatever comes of it; until then there is no other for that upstream.
    pub fn take_probe(&mut self, prober: Probing, now: Timestamp) -> Option<UpstreamId> {
        let (_, id) = self.probes_due().min().filter(|_| self.probing == prober)?;
        self.health.get_mut(&id)?.take_probe(now).then_some(id)
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
        let schedule = self.shares.schedule(|id| self.is_eligible(id));
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
mod tests;
