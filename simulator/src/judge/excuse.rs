//! An excuse is why a case of a law says nothing; excuses are counted.

use serde::{Deserialize, Serialize};

/// Why a case of a law says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Excuse {
    /// The client's process was killed.
    ClientKilled,
    /// The client's link lost, delayed or held packets.
    ClientCutOff,
    /// The proxy's process was killed.
    ProxyKilled,
    /// The proxy was told to stop.
    ProxyStopping,
    /// The proxy's machine lacked descriptors, or failed to look a name up.
    MachineFault,
    /// As many clients as the proxy serves at once may have been there.
    Crowded,
    /// The upstream's process was killed.
    UpstreamKilled,
    /// The upstream's link lost, delayed or held packets.
    UpstreamCutOff,
    /// A fault closed the upstream's listener or filled its backlog.
    ListenerClosed,
    /// A fault struck the request's connection before a head of it was read.
    ConnectionStruck,
    /// A fault struck the request itself.
    RequestStruck,
    /// Something was done to every upstream that the request could have been sent to.
    NoSoundUpstream,
    /// As many upstreams as the request may try were at fault.
    AttemptLimit,
    /// All requests together may have failed over as often as the retry budget allows.
    BudgetSpent,
    /// The upstreams at fault may have used up the request's time.
    NoTime,
    /// An upstream at fault may have acted on the request, so that nobody may send it again.
    ActedUpon,
    /// Another upstream had to be asked behind a reply, which the subject lacks by its own file.
    NotClaimed,
    /// The sound upstream was at fault a while ago and may still be left alone.
    Recovering,
    /// The proxy may have ended the tunnel for its silence when its client was about to send.
    FellIdle,
    /// The configuration changed in the middle.
    Reloaded,
    /// A name led elsewhere in the middle.
    NameMoved,
    /// An operator closed the tunnel, or let the upstream in.
    ByHand,
    /// The journals do not tell enough to decide.
    Untold,
}

impl Excuse {
    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Excuse::ClientKilled => "client killed",
            Excuse::ClientCutOff => "client cut off",
            Excuse::ProxyKilled => "proxy killed",
            Excuse::ProxyStopping => "proxy stopping",
            Excuse::MachineFault => "machine fault",
            Excuse::Crowded => "crowded",
            Excuse::UpstreamKilled => "upstream killed",
            Excuse::UpstreamCutOff => "upstream cut off",
            Excuse::ListenerClosed => "listener closed",
            Excuse::ConnectionStruck => "connection struck",
            Excuse::RequestStruck => "request struck",
            Excuse::NoSoundUpstream => "no sound upstream",
            Excuse::AttemptLimit => "attempt limit",
            Excuse::BudgetSpent => "budget spent",
            Excuse::NoTime => "no time",
            Excuse::ActedUpon => "acted upon",
            Excuse::NotClaimed => "not claimed",
            Excuse::Recovering => "recovering",
            Excuse::FellIdle => "fell idle",
            Excuse::Reloaded => "reloaded",
            Excuse::NameMoved => "name moved",
            Excuse::ByHand => "by hand",
            Excuse::Untold => "untold",
        }
    }
}
