//! Actions by share.

use super::action::Action;
use super::draw::Draw;

/// Actions by share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    entries: Vec<(u32, Action)>,
    sum: u64,
}

impl Mix {
    /// From actions and their shares.
    ///
    /// # Errors
    /// There is no action with a share above 0.
    pub fn new(entries: Vec<(u32, Action)>) -> Result<Self, String> {
        let sum = entries.iter().map(|(share, _)| u64::from(*share)).sum();
        if sum == 0 {
            return Err("no action has a share above 0".to_owned());
        }
        Ok(Mix { entries, sum })
    }

    /// All actions, in the order given.
    pub fn actions(&self) -> impl Iterator<Item = (u32, &Action)> {
        self.entries.iter().map(|(share, action)| (*share, action))
    }

    /// The action at `place` in the order given.
    pub fn action(&self, place: usize) -> &Action {
        &self.entries[place].1
    }

    pub(super) fn draw(&self, draw: &mut Draw) -> usize {
        let mut left = draw.below(self.sum);
        let within = |(share, _): &(u32, Action)| {
            let share = u64::from(*share);
            if left < share {
                return true;
            }
            left -= share;
            false
        };
        self.entries.iter().position(within).unwrap_or(self.entries.len() - 1)
    }
}

impl From<Action> for Mix {
    fn from(action: Action) -> Self {
        Mix { entries: vec![(1, action)], sum: 1 }
    }
}
