//! Computes a fixed, smooth, weighted order of upstreams that repeats without end.
//!
//! After any number of picks from the start, no upstream is a whole pick ahead of or behind its exact share. So no burst
//! is longer than the weights demand.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use super::upstream::{Member, UpstreamId};

/// The most slots a schedule may have: the sum of the weights after division by their greatest common divisor.
pub const MAX_PERIOD: u64 = 1_000_000;

/// The weights have so little in common that their schedule would be longer than [`MAX_PERIOD`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleTooLong {
    /// The slots it would need.
    pub period: u64,
}

impl fmt::Display for ScheduleTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the weights must sum to {MAX_PERIOD} or less once divided by their greatest common divisor (got {}); use \
             rounder weights",
            self.period
        )
    }
}

impl std::error::Error for ScheduleTooLong {}

/// The members that may be picked at all (weight above 0), whose schedule is known to be short enough.
///
/// A subset has at least as much in common and no larger a sum, so its schedule is short enough as well. That is
/// why an ejection can never fail to find a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    members: Vec<Member>,
}

impl Shares {
    /// The members with a weight, in the order given.
    ///
    /// # Errors
    /// [`ScheduleTooLong`] where the schedule would need more than [`MAX_PERIOD`] slots.
    pub fn new(members: &[Member]) -> Result<Self, ScheduleTooLong> {
        let members: Vec<Member> = members.iter().copied().filter(|member| !member.weight.is_zero()).collect();
        let sum: u64 = reduced(&members).iter().map(|(_, weight)| weight).sum();
        if sum > MAX_PERIOD { Err(ScheduleTooLong { period: sum }) } else { Ok(Shares { members }) }
    }

    /// Who may be picked, in the order given.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The schedule of those that are `eligible`. Takes O(period · log members).
    pub fn schedule(&self, eligible: impl Fn(UpstreamId) -> bool) -> Schedule {
        let members: Vec<Member> = self.members.iter().copied().filter(|member| eligible(member.id)).collect();
        let shares = reduced(&members);
        Schedule { slots: assign(&shares), shares: shares.into() }
    }
}

/// The order in which upstreams take their turns, without end; empty if no upstream may be picked.
///
/// It is the chairman assignment (R. Tijdeman, "The chairman assignment problem", Discrete Mathematics 32, 1980):
///
/// 1. Divide the weights by their greatest common divisor. Their sum W is the period.
/// 2. An upstream of weight w that was picked c times so far is behind its share in slot k if `c · W < k · w`.
/// 3. Its next turn is due by slot `⌈(c + 1) · W / w⌉`.
/// 4. Give slot k to the upstream that is due earliest among those that are behind; ties go to the one named first.
/// 5. Repeat for W slots, then start again.
///
/// The smooth weighted round robin of other proxies lacks this bound: with 20 upstreams its error reaches 1.11 picks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Who takes turns, and how many of each period.
    shares: Box<[(UpstreamId, u64)]>,
    slots: Box<[UpstreamId]>,
}

impl Schedule {
    /// The schedule of `members`; those of weight 0 are left out, ties go to the one named first.
    ///
    /// # Errors
    /// [`ScheduleTooLong`] where it would need more than [`MAX_PERIOD`] slots.
    pub fn build(members: &[Member]) -> Result<Self, ScheduleTooLong> {
        Ok(Shares::new(members)?.schedule(|_| true))
    }

    /// The slots after which it repeats.
    pub fn period(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Nobody may be picked.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many upstreams take turns.
    pub fn upstreams(&self) -> usize {
        self.shares.len()
    }

    /// Who takes turns, and how many of each period.
    pub fn shares(&self) -> &[(UpstreamId, u64)] {
        &self.shares
    }

    /// The upstream whose turn is at `position`, counted from 0 without end; `None` if no upstream may be picked.
    pub fn at(&self, position: u64) -> Option<UpstreamId> {
        let slot = position.checked_rem(self.period())?;
        self.slots.get(slot as usize).copied()
    }
}

/// The weights divided by their greatest common divisor.
fn reduced(members: &[Member]) -> Vec<(UpstreamId, u64)> {
    let weight = |member: &Member| u64::from(member.weight.get());
    let divisor = members.iter().map(weight).fold(0, gcd).max(1);
    members.iter().map(|member| (member.id, weight(member) / divisor)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// One period of the chairman assignment. An upstream's next turn opens at the first slot that leaves it behind its
/// share, and is due at the slot by which it would else be a whole pick behind.
fn assign(shares: &[(UpstreamId, u64)]) -> Box<[UpstreamId]> {
    let period: u64 = shares.iter().map(|(_, weight)| weight).sum();
    let mut picks = vec![0u64; shares.len()];
    let mut later: BinaryHeap<Reverse<(u64, usize)>> = (0..shares.len()).map(|index| Reverse((1, index))).collect();
    let mut open: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::with_capacity(shares.len());
    let turns = (1..=period).map(|slot| {
        while let Some(&Reverse((opens, index))) = later.peek() {
            if opens > slot {
                break;
            }
            later.pop();
            open.push(Reverse((((picks[index] + 1) * period).div_ceil(shares[index].1), index)));
        }
        let Reverse((_, index)) = open.pop().expect("fewer picks than slots so far, so somebody is behind");
        picks[index] += 1;
        later.push(Reverse((picks[index] * period / shares[index].1 + 1, index)));
        shares[index].0
    });
    turns.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::upstream::Weight;

    fn members(weights: &[u32]) -> Vec<Member> {
        let ids = (0..).map(UpstreamId::new);
        ids.zip(weights).map(|(id, &weight)| Member { id, weight: Weight::new(weight).unwrap() }).collect()
    }

    fn letters(weights: &[u32]) -> String {
        let schedule = Schedule::build(&members(weights)).unwrap();
        (0..schedule.period()).map(|k| (b'A' + schedule.at(k).unwrap().number() as u8) as char).collect()
    }

    #[test]
    fn turns_are_spread_and_not_in_blocks() {
        assert_eq!(letters(&[3, 2, 1]), "ABABAC");
        assert_eq!(letters(&[1, 1, 1]), "ABC");
        assert_eq!(letters(&[2, 5, 3]), "BCBABCBABC");
    }

    #[test]
    fn common_factors_are_divided_out() {
        assert_eq!(letters(&[300, 200, 100]), letters(&[3, 2, 1]));
        assert_eq!(letters(&[10_000]), "A");
    }

    #[test]
    fn weight_zero_takes_no_slot() {
        let schedule = Schedule::build(&members(&[0, 2, 0, 2])).unwrap();
        assert_eq!((schedule.period(), schedule.upstreams()), (2, 2));
        assert_eq!(schedule.at(0), Some(UpstreamId::new(1)));
        assert_eq!(schedule.at(u64::MAX), Some(UpstreamId::new(3)));
    }

    #[test]
    fn nobody_to_pick_is_an_empty_schedule() {
        for weights in [&[][..], &[0, 0]] {
            let schedule = Schedule::build(&members(weights)).unwrap();
            assert!(schedule.is_empty());
            assert_eq!(schedule.at(7), None);
        }
    }

    #[test]
    fn the_longest_schedule_is_a_million_slots() {
        let mut weights = vec![10_000; 99];
        weights.extend([9_999, 1]);
        assert_eq!(Schedule::build(&members(&weights)).unwrap().period(), MAX_PERIOD);
        weights.push(1);
        let error = Schedule::build(&members(&weights)).unwrap_err();
        assert_eq!(error, ScheduleTooLong { period: MAX_PERIOD + 1 });
        assert!(error.to_string().contains("1000001"));
    }

    proptest! {
        #[test]
        fn no_upstream_is_ever_a_whole_pick_off_its_share(weights in prop::collection::vec(0u32..=60, 1..24)) {
            let schedule = Schedule::build(&members(&weights)).unwrap();
            let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
            let period = schedule.period() as i64;
            let mut picked = vec![0i64; weights.len()];
            for k in 1..=3 * period {
                picked[schedule.at(k as u64 - 1).unwrap().number() as usize] += 1;
                for (count, &weight) in picked.iter().zip(&weights) {
                    prop_assert!((count * sum - k * i64::from(weight)).abs() < sum, "after {} picks: {:?}", k, picked);
                    if k % period == 0 {
                        prop_assert_eq!(count * sum, k * i64::from(weight));
                    }
                }
            }
        }

        #[test]
        fn a_subset_never_needs_a_longer_schedule(
            weights in prop::collection::vec(0u32..=300, 1..12), kept in prop::collection::vec(any::<bool>(), 12)
        ) {
            let shares = Shares::new(&members(&weights)).unwrap();
            let subset = shares.schedule(|id| kept[id.number() as usize]);
            prop_assert!(subset.period() <= shares.schedule(|_| true).period());
            prop_assert!((0..subset.period()).all(|k| kept[subset.at(k).unwrap().number() as usize]));
        }
    }
}
