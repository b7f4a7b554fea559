//! Tells a second time what ARCHITECTURE.md promises of picks, health, blame and budgets, and holds the core against it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::blamed::{Broken, Doubt, Memory, charged_by, harmless, law};
use super::heard::{Due, Heard};
use crate::core::attribution::{Attributed, Blame};
use crate::core::balancer::{Balancer, Epoch, Transition};
use crate::core::failover::{Allowance, BudgetSpent, FailoverPolicy};
use crate::core::health::{AttemptResult, Change, Charge, HealthPolicy};
use crate::core::schedule::Schedule;
use crate::core::time::Timestamp;
use crate::core::upstream::{Attempt, Member, UpstreamId};

#[derive(Clone)]
pub(super) struct Laws {
    health: HealthPolicy,
    failover: FailoverPolicy,
    members: Vec<Member>,
    upstreams: BTreeMap<UpstreamId, Heard>,
    failures: Memory,
    empty_tunnels: Memory,
    /// By the second: requests and failovers.
    spent: BTreeMap<u64, (u32, u32)>,
    /// The epoch in force, who shares it, and how often each was picked first in it.
    epoch: u64,
    shares: Vec<(UpstreamId, u32)>,
    picked: BTreeMap<UpstreamId, u32>,
}

// ---- picks ----

impl Laws {
    pub(super) fn new(health: HealthPolicy, failover: FailoverPolicy, members: &[Member], epoch: &Epoch) -> Self {
        let mut laws = Laws {
            health,
            failover,
            members: members.to_vec(),
            upstreams: members.iter().map(|member| (member.id, Heard::default())).collect(),
            failures: Memory::new(),
            empty_tunnels: Memory::new(),
            spent: BTreeMap::new(),
            epoch: epoch.number(),
            shares: Vec::new(),
            picked: BTreeMap::new(),
        };
        laws.shares = laws.eligible_shares();
        laws
    }

    fn weight(&self, id: UpstreamId) -> u32 {
        self.members.iter().find(|member| member.id == id).map_or(0, |member| member.weight.get())
    }

    fn usable(&self) -> impl Iterator<Item = UpstreamId> {
        self.members.iter().filter(|member| !member.weight.is_zero()).map(|member| member.id)
    }

    fn is_out(&self, id: UpstreamId) -> bool {
        self.upstreams.get(&id).is_some_and(|heard| heard.out.is_some())
    }

    fn eligible(&self) -> impl Iterator<Item = UpstreamId> {
        self.usable().filter(|id| !self.is_out(*id))
    }

    /// Who is eligible, each with its weight in lowest terms.
    fn eligible_shares(&self) -> Vec<(UpstreamId, u32)> {
        let divides = |by: u32| self.eligible().all(|id| self.weight(id).is_multiple_of(by));
        let divisor = (1..=3).rev().find(|by| divides(*by)).unwrap_or(1);
        self.eligible().map(|id| (id, self.weight(id) / divisor)).collect()
    }

    pub(super) fn first_picked(
        &mut self,
        epoch: &Epoch,
        ticket: u64,
        picked: Option<UpstreamId>,
    ) -> Result<(), Broken> {
        let picked = picked.ok_or("somebody is eligible and nobody is picked")?;
        law(self.weight(picked) > 0, || format!("{picked} has weight 0 and is picked"))?;
        law(!self.is_out(picked), || format!("{picked} is out and is picked"))?;
        *self.picked.entry(picked).or_default() += 1;
        let picks = i64::try_from(ticket + 1).unwrap();
        let all: i64 = self.shares.iter().map(|(_, weight)| i64::from(*weight)).sum();
        // A stretch that begins elsewhere is the difference of two that begin at the start.
        let most = if epoch.offset() == 0 { all } else { 2 * all };
        for (id, weight) in &self.shares {
            let picked = i64::from(self.picked.get(id).copied().unwrap_or(0));
            let off = (picked * all - picks * i64::from(*weight)).abs();
            let exact = picks % all != 0 || off == 0;
            law(off < most && exact, || {
                format!("{picked} of {picks} first picks went to {id}, of weight {weight}/{all}")
            })?;
        }
        Ok(())
    }

    pub(super) fn picked_behind(
        &self,
        tried: &[UpstreamId],
        load: impl Fn(UpstreamId) -> u64,
        picked: Option<UpstreamId>,
    ) -> Result<(), Broken> {
        let nobody = self.eligible().next().is_none();
        let rest = self.usable().filter(|id| !tried.contains(id) && (nobody || !self.is_out(*id)));
        let rest: Vec<UpstreamId> = rest.collect();
        let Some(picked) = picked else {
            return law(rest.is_empty(), || format!("any of {rest:?} could be picked and none is"));
        };
        law(rest.contains(&picked), || format!("{picked} is picked behind {tried:?} where there is but {rest:?}"))?;
        let burden = |id: UpstreamId| (load(id) + 1, u64::from(self.weight(id)));
        let heavier = |one: (u64, u64), other: (u64, u64)| one.0 * other.1 > other.0 * one.1;
        let failures = |id: UpstreamId| self.upstreams.get(&id).map_or(0, |heard| heard.row.0);
        let better = rest.into_iter().find(|id| match nobody {
            true => failures(picked) > failures(*id),
            false => heavier(burden(picked), burden(*id)),
        });
        law(better.is_none(), || format!("{picked} is picked behind {tried:?} where {better:?} is better"))
    }
}

// ---- budgets ----

impl Laws {
    /// What a budget says after so many attempts.
    pub(super) fn allowed(
        &self,
        made: usize,
        began: Timestamp,
        allowance: Result<Allowance, BudgetSpent>,
        now: Timestamp,
    ) -> Result<(), Broken> {
        let left = self.failover.request_timeout.saturating_sub(now.since(began));
        let in_time = !left.is_zero() && (made == 0 || left >= Duration::from_secs(1));
        let in_number = made < self.failover.max_attempts.get() as usize;
        let Ok(allowance) = allowance else {
            return law(!in_time || !in_number, || {
                format!("another attempt has {left:?} and is refused: {allowance:?}")
            });
        };
        law(in_number, || format!("there are more than {} attempts", self.failover.max_attempts))?;
        law(in_time, || format!("an attempt begins with {left:?}"))?;
        let connect = allowance.connect().span;
        let longest = connect + allowance.reply(now.after(connect)).span;
        law(longest <= left, || format!("an attempt may take {longest:?} of {left:?}"))
    }

    pub(super) fn requested(&mut self, now: Timestamp) {
        self.spent.entry(second(now)).or_default().0 += 1;
    }

    pub(super) fn retried(&mut self, allowed: bool, now: Timestamp) -> Result<(), Broken> {
        let (requests, failovers) = (self.retries(now).iter()).fold((0, 0), |sum, one| (sum.0 + one.1, sum.1 + one.2));
        let budget = self.failover.retry_budget;
        let most = requests * budget.percent / 100 + 10 * budget.min_per_second;
        law(allowed == (failovers < most), || {
            format!("{failovers} failovers of {most} are spent, and another is allowed: {allowed}")
        })?;
        self.spent.entry(second(now)).or_default().1 += u32::from(allowed);
        Ok(())
    }

    /// What of the last ten seconds counts: seconds ago, requests, failovers.
    pub(super) fn retries(&self, now: Timestamp) -> Vec<(u64, u32, u32)> {
        let spent = self.spent.iter().rev().map(|(at, spent)| (second(now) - at, spent.0, spent.1));
        spent.take_while(|(ago, ..)| *ago < 10).collect()
    }
}

fn second(now: Timestamp) -> u64 {
    now.since(Timestamp::ZERO).as_secs()
}

// ---- blame ----

impl Laws {
    /// `by` opened the target behind those `doubts` of the same request.
    pub(super) fn opened(
        &mut self,
        by: UpstreamId,
        doubts: &[Doubt],
        blamed: &[Attributed],
        now: Timestamp,
    ) -> Result<(), Broken> {
        let remembered = std::mem::take(&mut self.failures);
        charged_by(by, remembered, doubts, (blamed, Charge::Tunnel), now)
    }

    /// A tunnel through `by` delivered from the target.
    pub(super) fn delivered(&mut self, by: UpstreamId, blamed: &[Attributed], now: Timestamp) -> Result<(), Broken> {
        let remembered = std::mem::take(&mut self.empty_tunnels);
        charged_by(by, remembered, &[], (blamed, Charge::EmptyTunnel), now)
    }

    pub(super) fn none_opened(
        &mut self,
        doubts: &[Doubt],
        blamed: &[Attributed],
        now: Timestamp,
    ) -> Result<(), Broken> {
        law(doubts.len() == blamed.len(), || format!("{doubts:?} are blamed by {blamed:?}"))?;
        for (doubt, one) in doubts.iter().zip(blamed) {
            let alike =
                |other: &Doubt| other.attempt.upstream != doubt.attempt.upstream && other.silence == doubt.silence;
            let alike = doubts.iter().any(alike);
            let blame = if alike { Blame::Target } else { Blame::Unknown };
            law(one.attempt == doubt.attempt && one.blame == blame, || {
                format!("{doubt:?} is not {blame:?}'s: {one:?}")
            })?;
            harmless(one)?;
            if !alike {
                self.failures.push((*doubt, now));
            }
        }
        Ok(())
    }

    pub(super) fn brought_nothing(
        &mut self,
        attempt: Attempt,
        blamed: &[Attributed],
        now: Timestamp,
    ) -> Result<(), Broken> {
        self.empty_tunnels.push((Doubt { attempt, silence: false }, now));
        blamed.iter().try_for_each(harmless)
    }
}

// ---- health ----

impl Laws {
    pub(super) fn configured(
        &mut self,
        members: &[Member],
        anew: &[UpstreamId],
        renewed: Option<&Epoch>,
        now: Timestamp,
    ) -> Result<(), Broken> {
        self.members = members.to_vec();
        let mut before = std::mem::take(&mut self.upstreams);
        for member in members {
            let heard = match before.remove(&member.id) {
                Some(_) if anew.contains(&member.id) => Heard { since: Some(now), ..Heard::default() },
                heard => heard.unwrap_or_default(),
            };
            self.upstreams.insert(member.id, heard);
        }
        law(renewed.is_some() == (self.shares != self.eligible_shares()), || {
            format!("an epoch begins where the shares change: {renewed:?}")
        })
    }

    /// Whether `id` may leave for what a target could have caused.
    fn may_be_suspected(&self, id: UpstreamId) -> bool {
        let in_doubt = |id: &UpstreamId| {
            self.upstreams.get(id).and_then(|heard| heard.out.as_ref()).is_some_and(|out| !out.charge.is_certain())
        };
        let weigh = |ids: &mut dyn Iterator<Item = UpstreamId>| ids.map(|id| self.weight(id)).sum::<u32>();
        let out = weigh(&mut self.usable().filter(in_doubt));
        out == 0 || (out + self.weight(id)) * 100 <= weigh(&mut self.usable()) * self.health.max_ejection_percent
    }

    pub(super) fn reported(
        &mut self,
        attempt: Attempt,
        result: AttemptResult,
        transition: Option<Transition>,
        balancer: &Balancer,
        now: Timestamp,
    ) -> Result<(), Broken> {
        let may_be_suspected = self.may_be_suspected(attempt.upstream);
        let policy = self.health;
        let told = transition.map(|transition| transition.change);
        let broken = |due: Due| format!("{result:?} of {attempt:?} makes {due:?} due and not {told:?}");
        let Some(heard) = self.upstreams.get_mut(&attempt.upstream) else {
            return law(transition.is_none(), || broken(Due::Nothing));
        };
        law(transition.is_none_or(|one| one.upstream == attempt.upstream), || {
            format!("that is another: {transition:?}")
        })?;
        let due = heard.hear(&policy, attempt, result, may_be_suspected, now);
        let is_due = match (due, told) {
            (Due::Nothing | Due::Postponed, None) => true,
            (Due::Suspected(row), Some(Change::Suspected { failures })) => row == failures,
            (Due::Ejected(_) | Due::BackedOff(_), Some(Change::Ejected { .. } | Change::BackedOff { .. })) => true,
            (Due::Recovered(out), Some(Change::Recovered { after })) => out == after,
            _ => false,
        };
        law(is_due, || broken(due))?;
        let Some(out) = &mut heard.out else { return Ok(()) };
        let round = match due {
            Due::Ejected(round) | Due::BackedOff(round) => round,
            Due::Postponed => 0,
            _ => return Ok(()),
        };
        let until = balancer.health(attempt.upstream).and_then(|health| health.probe_due());
        let until = until.ok_or_else(|| format!("{} is out and no probe is ever due", attempt.upstream))?;
        if due == Due::Postponed && until == out.until {
            return law(until >= now.after(policy.backoff_base * 4 / 5), || broken(due));
        }
        let whole = (policy.backoff_base * 2u32.pow(round)).min(policy.backoff_max);
        let within = now.after(whole * 4 / 5)..=now.after(whole * 6 / 5);
        law(within.contains(&until), || format!("{}: the back-off of round {round} ends {until:?}", attempt.upstream))?;
        out.until = until;
        Ok(())
    }

    pub(super) fn probe_taken(
        &mut self,
        taken: Option<UpstreamId>,
        has_target: impl Fn(UpstreamId) -> bool,
        now: Timestamp,
    ) -> Result<(), Broken> {
        let wanting: Vec<UpstreamId> = self
            .usable()
            .filter(|id| {
                let out = self.upstreams.get(id).and_then(|heard| heard.out.as_ref());
                out.is_some_and(|out| !out.probing && (out.until <= now || (out.wants_target() && has_target(*id))))
            })
            .collect();
        law(taken.is_some() != wanting.is_empty(), || {
            format!("a probe of {wanting:?} is due, and {taken:?} is given")
        })?;
        let Some(taken) = taken else { return Ok(()) };
        law(wanting.contains(&taken), || format!("a probe of {taken} is given and not of {wanting:?}"))?;
        if let Some(out) = self.upstreams.get_mut(&taken).and_then(|heard| heard.out.as_mut()) {
            out.probing = true;
            out.without_target = !has_target(taken);
        }
        Ok(())
    }

    /// What is true between any two steps.
    pub(super) fn hold(&mut self, balancer: &Balancer, now: Timestamp) -> Result<(), Broken> {
        for member in &self.members {
            let health = balancer.health(member.id).ok_or_else(|| format!("{} has no health", member.id))?;
            let out = self.is_out(member.id);
            law(health.is_eligible() != out, || format!("{} is out: {out}, and says {health:?}", member.id))?;
        }
        let (eligible, usable) = (self.eligible().count(), self.usable().count());
        law(balancer.usable_count() == usable, || format!("{usable} have a weight"))?;
        law(balancer.eligible_count() == eligible, || format!("{eligible} are eligible"))?;
        let candidates = if eligible == 0 { usable } else { eligible };
        law(balancer.candidates(&[]) == candidates, || format!("{candidates} could be tried"))?;
        let outs = || self.usable().filter_map(|id| self.upstreams.get(&id)?.out.as_ref());
        let due = outs().filter(|out| !out.probing).map(|out| out.until).min();
        law(balancer.next_wakeup() == due, || format!("the next probe is due {due:?} at {now:?}"))?;
        let may_serve = eligible > 0 || outs().any(|out| out.suspected || out.reached);
        law(balancer.may_serve() == may_serve, || format!("a request could be served: {may_serve}"))?;
        self.hold_epoch(balancer.epoch())
    }

    fn hold_epoch(&mut self, epoch: &Epoch) -> Result<(), Broken> {
        let shares = self.eligible_shares();
        let renewed = shares != self.shares;
        law((epoch.number() != self.epoch) == renewed, || format!("an epoch lasts as long as its shares: {shares:?}"))?;
        if renewed {
            law(epoch.number() > self.epoch, || "epochs are counted up".to_owned())?;
            (self.epoch, self.shares) = (epoch.number(), shares);
            self.picked.clear();
            even(epoch.schedule(), &self.shares)?;
        }
        Ok(())
    }
}

/// Counted from its start a schedule is never a whole pick off the shares.
fn even(schedule: &Schedule, shares: &[(UpstreamId, u32)]) -> Result<(), Broken> {
    let all: i64 = shares.iter().map(|(_, weight)| i64::from(*weight)).sum();
    law(schedule.period() as i64 == all, || format!("{shares:?} come round after {}", schedule.period()))?;
    for picks in 1..=all {
        for (id, weight) in shares {
            let picked = (0..picks).filter(|at| schedule.at(*at as u64) == Some(*id)).count() as i64;
            let off = (picked * all - picks * i64::from(*weight)).abs();
            law(off < all, || format!("{picked} of the first {picks} turns are {id}'s, of weight {weight}/{all}"))?;
        }
    }
    Ok(())
}
