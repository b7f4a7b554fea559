//! A shard is one of several parts of the same runs, which other machines may play.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `I/N`: the I-th of N parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: u64,
    of: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Shard::WHOLE
    }
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Shard { index: 1, of: 1 };

    /// Which part it is, from 1.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many parts there are.
    pub const fn of(self) -> u64 {
        self.of
    }

    /// The place among all runs of this part's run `number`; both count from 0.
    pub const fn place(self, number: u64) -> u64 {
        number * self.of + self.index - 1
    }

    /// How many of so many runs are this part's.
    pub const fn share(self, runs: u64) -> u64 {
        (runs + self.of - self.index) / self.of
    }

    /// The part of `all` that this is.
    pub fn pick<T>(self, all: Vec<T>) -> Vec<T> {
        (0..).zip(all).filter(|(place, _): &(u64, T)| place % self.of + 1 == self.index).map(|(_, one)| one).collect()
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shard = text.split_once('/').and_then(|(a, b)| Some(Shard { index: a.parse().ok()?, of: b.parse().ok()? }));
        let shard = shard.filter(|shard: &Shard| (1..=shard.of).contains(&shard.index));
        shard.ok_or_else(|| format!("must be like 1/4 (got {text:?})"))
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> String {
        shard.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_read_or_refused_with_an_example_and_together_are_the_whole() {
        for wrong in ["", "1", "0/4", "5/4", "a/b"] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("1/4"), "{wrong}");
        }
        let shards: Vec<Shard> = (1..=3).map(|index| format!("{index}/3").parse().unwrap()).collect();
        assert_eq!(shards[1].pick((0..8).collect()), [1, 4, 7]);
        assert_eq!((0..3).map(|number| shards[1].place(number)).collect::<Vec<_>>(), [1, 4, 7]);
        assert_eq!(shards.iter().map(|shard| shard.share(8)).collect::<Vec<_>>(), [3, 3, 2]);
        let mut all: Vec<i32> = shards.iter().flat_map(|shard| shard.pick((0..8).collect())).collect();
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
    }
}
