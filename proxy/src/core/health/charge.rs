//! What upstreams are charged with.

/// What an upstream is charged with, ordered by what it takes to disprove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Charge {
    /// It can't be reached by TCP or TLS; reaching it disproves that.
    Unreachable,
    /// It answered our CONNECT with what can't be read, or with 407.
    BadAnswer,
    /// It did not bring a page that another upstream brought; the target could have caused that.
    Page,
    /// It did not open a tunnel to a target that another upstream opened; the target could have caused that.
    Tunnel,
    /// It opened a tunnel that brought nothing from a target that another upstream delivers from; the target could
    /// have caused that.
    EmptyTunnel,
}

impl Charge {
    /// Only the upstream can have caused it.
    pub const fn is_certain(self) -> bool {
        matches!(self, Charge::Unreachable | Charge::BadAnswer)
    }
}
