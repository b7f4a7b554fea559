//! Names a part of a workload, so that several threads can share the workload.

/// A part of a workload, for one of several threads: every `of`th of its requests, or of its clients, from `number` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    pub(super) number: u64,
    pub(super) of: u64,
}

impl Shard {
    /// The whole workload.
    pub const WHOLE: Shard = Shard { number: 0, of: 1 };

    /// Cuts a workload into that many parts.
    pub fn all(of: usize) -> impl Iterator<Item = Shard> {
        let of = of.max(1) as u64;
        (0..of).map(move |number| Shard { number, of })
    }

    /// How many of `whole` things belong to this part.
    pub(super) fn share(self, whole: u64) -> u64 {
        whole / self.of + u64::from(self.number < whole % self.of)
    }
}
