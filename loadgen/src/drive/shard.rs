//! A part of a workload, so that several threads can share it.

/// A part of a workload: every `of`th of its requests, or clients, from `number` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    pub(super) number: u64,
    pub(super) of: u64,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Shard = Shard { number: 0, of: 1 };

    /// All parts, `of` in number.
    pub fn all(of: usize) -> impl Iterator<Item = Shard> {
        let of = of.max(1) as u64;
        (0..of).map(move |number| Shard { number, of })
    }

    /// How many of `whole` things are this part's.
    pub(super) fn share(self, whole: u64) -> u64 {
        whole / self.of + u64::from(self.number < whole % self.of)
    }
}
