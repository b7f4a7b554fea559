//! Holds the mix of actions from which requests draw.

use super::action::Action;
use super::action_share::ActionShare;
use super::draw::Draw;

/// The mix of actions that requests draw from, each by its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    entries: Vec<ActionShare>,
    sum: u64,
}

impl Mix {
    /// Makes a mix of actions and their shares.
    ///
    /// # Errors
    /// There is no action with a share above 0.
    pub fn new(entries: Vec<ActionShare>) -> Result<Self, String> {
        let sum = entries.iter().map(|entry| u64::from(entry.share)).sum();
        if sum == 0 {
            return Err("no action has a share above 0".to_owned());
        }
        Ok(Mix { entries, sum })
    }

    /// All actions with their shares, in the order given.
    pub fn entries(&self) -> &[ActionShare] {
        &self.entries
    }

    /// All actions, in the order given.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.entries.iter().map(|entry| &entry.action)
    }

    /// The action at `place` in the order given.
    ///
    /// # Panics
    /// There is none at that place.
    pub fn action(&self, place: usize) -> &Action {
        &self.entries[place].action
    }

    pub(super) fn draw(&self, draw: &mut Draw) -> usize {
        let mut left = draw.below(self.sum);
        let within = |entry: &ActionShare| {
            let share = u64::from(entry.share);
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
        Mix { entries: vec![ActionShare { share: 1, action }], sum: 1 }
    }
}
