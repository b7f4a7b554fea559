//! What was not reached is held against the list of what can't be.

use super::catalogue::{Item, catalogue};
use super::reached::Reached;
use super::unreachable::why_unreachable;

/// Where what was reached and the list of the unreachable are at odds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// What nothing has reached, though it is not listed.
    pub unreached: Vec<Item>,
    /// What a sweep has reached, though it is listed.
    pub listed: Vec<Item>,
}

impl Gaps {
    /// Those of runs that have `reached` so much, and of the sweeps among them, which have reached what is `swept`: the list is about sweeps
    /// alone.
    pub fn of(reached: &Reached, swept: &Reached) -> Self {
        let all = catalogue().into_iter();
        let (listed, expected): (Vec<Item>, Vec<Item>) = all.partition(|item| why_unreachable(item).is_some());
        Gaps {
            unreached: expected.into_iter().filter(|item| !reached.contains_key(item)).collect(),
            listed: listed.into_iter().filter(|item| swept.contains_key(item)).collect(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.unreached.is_empty() && self.listed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stories_reach_for_sweeps_and_a_sweep_takes_off_the_list() {
        let items = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1)).collect::<Reached>();
        let expected: Reached =
            catalogue().into_iter().filter(|item| why_unreachable(item).is_none()).map(|item| (item, 1)).collect();
        assert!(Gaps::of(&expected, &items(&[])).is_empty());
        let mut less = expected.clone();
        less.remove("event/ejected");
        let gaps = Gaps::of(&less, &less);
        assert_eq!((gaps.unreached.as_slice(), gaps.listed.len()), (&["event/ejected".to_owned()][..], 0));
        let mut more = expected;
        more.extend(items(&["action/loss"]));
        assert!(Gaps::of(&more, &items(&[])).is_empty(), "a story may reach what no sweep does");
        assert_eq!(Gaps::of(&more, &items(&["action/loss"])).listed, ["action/loss"]);
    }
}
