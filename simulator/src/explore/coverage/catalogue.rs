//! Everything that can happen in a run. The compiler helps: a new variant of the proxy's enumerations does not compile here until it is listed.

use std::collections::BTreeSet;

use faulty_upstream::CATALOGUE;
use proxy::authentication::Refusal;
use proxy::core::attribution::{Blame, Failure, Rule};
use proxy::env::RelayEnd;
use proxy::http::authority::AuthorityError;
use proxy::http::body::BodyError;
use proxy::http::head::HeadError;
use proxy::http::target::TargetError;

use crate::record::ProxyEvent;
use crate::scenario::Action;

/// Something that can happen, by a name such as `rule/failed_alike` or `fault/refuse/ejected/drain`.
pub type Item = String;

/// What the proxy thinks of the upstream that a fault strikes.
const HEALTHS: [&str; 2] = ["eligible", "ejected"];
/// What the proxy is doing when a fault strikes.
const SITUATIONS: [&str; 4] = ["normal", "idle", "reload", "drain"];

/// The values of an enumeration. It does not compile unless each variant is listed.
macro_rules! every {
    ($type:ty { $($pattern:pat => $value:expr),* $(,)? }) => {{
        const fn listed(one: &$type) {
            match one { $($pattern => ()),* }
        }
        let list = [$($value),*];
        list.iter().for_each(listed);
        list
    }};
}

/// The words of an enumeration, and the function that tells them. It does not compile unless each variant is listed.
macro_rules! words {
    ($(#[$doc:meta])* $list:ident, $word:ident($type:ty) { $($pattern:pat => $name:literal),* $(,)? }) => {
        $(#[$doc])*
        const $list: &[&str] = &[$($name),*];

        /// The word for one of them.
        pub(super) const fn $word(one: &$type) -> &'static str {
            match one { $($pattern => $name),* }
        }
    };
}

words! {
    /// What scenarios do.
    ACTIONS, action(Action) {
        Action::Partition { .. } => "partition",
        Action::PartitionOneWay { .. } => "partition-one-way",
        Action::Hold { .. } => "hold",
        Action::Heal { .. } => "heal",
        Action::Loss { .. } => "loss",
        Action::Delay { .. } => "delay",
        Action::Crash { .. } => "crash",
        Action::Restart { .. } => "restart",
        Action::Reload { .. } => "reload",
        Action::Drain { .. } => "drain",
        Action::ClockJump { .. } => "clock-jump",
        Action::Dns { .. } => "dns",
        Action::Arm { .. } => "arm",
        Action::Disarm { .. } => "disarm",
    }
}

/// What chance does to the proxy's machine.
const CHANCES: [&str; 5] = ["accept-error", "no-descriptor", "dns-failure", "dns-addresses", "offload-busy"];

/// Outcomes of requests that stand in no public enumeration of the proxy. One that is missing here is told as unknown when it is reached.
const OWN_OUTCOMES: &[&str] = &[
    "ok",
    "client_gone",
    "no_upstream",
    "body_cut",
    "header_timeout",
    "body_timeout",
    "loop",
    "ourselves",
    "overloaded",
    "pages_only",
    "stats_forbidden",
    "reply_cut",
    "reply_malformed",
    "reply_timeout",
    "drain_deadline",
];

/// Everything that can happen.
pub fn catalogue() -> BTreeSet<Item> {
    let mut all = BTreeSet::new();
    let mut add = |kind: &str, names: &mut dyn Iterator<Item = &str>| {
        all.extend(names.map(|name| format!("{kind}/{name}")));
    };
    add("action", &mut ACTIONS.iter().copied());
    add("event", &mut ProxyEvent::WORDS.iter().copied());
    add("chance", &mut CHANCES.iter().copied());
    add("failure", &mut failures().into_iter());
    add("rule", &mut rules().iter().map(|rule| rule.as_str()));
    add("blame", &mut blames().iter().map(|blame| blame.as_str()));
    add("end", &mut ends().iter().map(|end| end.as_str()));
    add("outcome", &mut outcomes().into_iter());
    for fault in CATALOGUE {
        for health in HEALTHS {
            for situation in SITUATIONS {
                all.insert(fault_item(fault.name, health, situation));
            }
        }
    }
    all
}

/// The fault strikes an upstream of that health in that situation of the proxy. When it strikes in the life of a connection follows from
/// the fault.
pub(super) fn fault_item(fault: &str, health: &str, situation: &str) -> Item {
    format!("fault/{fault}/{health}/{situation}")
}

fn failures() -> BTreeSet<&'static str> {
    let listed = every!(Failure {
        Failure::ClientGone => Failure::ClientGone,
        Failure::OwnResources => Failure::OwnResources,
        Failure::NameUnresolved => Failure::NameUnresolved,
        Failure::NameTimeout => Failure::NameTimeout,
        Failure::CutShort => Failure::CutShort,
        Failure::ConnectRefused => Failure::ConnectRefused,
        Failure::ConnectTimeout => Failure::ConnectTimeout,
        Failure::ConnectFailed => Failure::ConnectFailed,
        Failure::TlsFailed => Failure::TlsFailed,
        Failure::MalformedHead => Failure::MalformedHead,
        Failure::EmptyTunnel => Failure::EmptyTunnel,
        Failure::ReplyTimeout => Failure::ReplyTimeout,
        Failure::ClosedBeforeHead => Failure::ClosedBeforeHead,
        Failure::ResetBeforeHead => Failure::ResetBeforeHead,
        Failure::Status(_) => Failure::Status(407),
    });
    let statuses = (300..600).map(Failure::Status);
    listed.into_iter().chain(statuses).map(Failure::as_str).collect()
}

fn rules() -> Vec<Rule> {
    every!(Rule {
        Rule::ClientWentAway => Rule::ClientWentAway,
        Rule::OwnResources => Rule::OwnResources,
        Rule::Resolver => Rule::Resolver,
        Rule::OwnNetwork => Rule::OwnNetwork,
        Rule::CutShort => Rule::CutShort,
        Rule::Unreachable => Rule::Unreachable,
        Rule::Tls => Rule::Tls,
        Rule::MalformedHead => Rule::MalformedHead,
        Rule::CredentialsRefused => Rule::CredentialsRefused,
        Rule::OpenedElsewhere => Rule::OpenedElsewhere,
        Rule::DeliveredElsewhere => Rule::DeliveredElsewhere,
        Rule::FailedAlike => Rule::FailedAlike,
        Rule::StoodAlone => Rule::StoodAlone,
    })
    .to_vec()
}

fn blames() -> Vec<Blame> {
    every!(Blame {
        Blame::Client => Blame::Client,
        Blame::Netdrift => Blame::Netdrift,
        Blame::Upstream => Blame::Upstream,
        Blame::Target => Blame::Target,
        Blame::Unknown => Blame::Unknown,
    })
    .to_vec()
}

fn ends() -> Vec<RelayEnd> {
    every!(RelayEnd {
        RelayEnd::Closed => RelayEnd::Closed,
        RelayEnd::ClientReset => RelayEnd::ClientReset,
        RelayEnd::UpstreamReset => RelayEnd::UpstreamReset,
        RelayEnd::UpstreamClosed => RelayEnd::UpstreamClosed,
        RelayEnd::Idle => RelayEnd::Idle,
        RelayEnd::HalfClosedIdle => RelayEnd::HalfClosedIdle,
        RelayEnd::Stopped => RelayEnd::Stopped,
    })
    .to_vec()
}

/// The words for how a request ends, errors of clients among them.
fn outcomes() -> BTreeSet<&'static str> {
    let heads = every!(HeadError {
        HeadError::BareCr => HeadError::BareCr,
        HeadError::BareLf => HeadError::BareLf,
        HeadError::ControlByte => HeadError::ControlByte,
        HeadError::Folded => HeadError::Folded,
        HeadError::EmptyLines => HeadError::EmptyLines,
        HeadError::Incomplete => HeadError::Incomplete,
        HeadError::TooLarge => HeadError::TooLarge,
        HeadError::StartLineTooLong => HeadError::StartLineTooLong,
        HeadError::TooManyFields => HeadError::TooManyFields,
        HeadError::RequestLine => HeadError::RequestLine,
        HeadError::StatusLine => HeadError::StatusLine,
        HeadError::Version => HeadError::Version,
        HeadError::Field => HeadError::Field,
        HeadError::NoHost => HeadError::NoHost,
        HeadError::ManyHosts => HeadError::ManyHosts,
        HeadError::Host(_) => HeadError::Host(AuthorityError::NoHost),
        HeadError::LengthAndCoding => HeadError::LengthAndCoding,
        HeadError::ManyLengths => HeadError::ManyLengths,
        HeadError::Length => HeadError::Length,
        HeadError::CodingInHttp10 => HeadError::CodingInHttp10,
        HeadError::Coding => HeadError::Coding,
        HeadError::UnknownCoding => HeadError::UnknownCoding,
        HeadError::UnexpectedBody => HeadError::UnexpectedBody,
    });
    let targets = every!(TargetError {
        TargetError::Authority(_) => TargetError::Authority(AuthorityError::NoHost),
        TargetError::Https => TargetError::Https,
        TargetError::Scheme => TargetError::Scheme,
        TargetError::Fragment => TargetError::Fragment,
        TargetError::Form => TargetError::Form,
    });
    let bodies = every!(BodyError {
        BodyError::ChunkSize => BodyError::ChunkSize,
        BodyError::ChunkExtension => BodyError::ChunkExtension,
        BodyError::ChunkOverhead => BodyError::ChunkOverhead,
        BodyError::ChunkEnd => BodyError::ChunkEnd,
        BodyError::ChunkLine(_) => BodyError::ChunkLine(HeadError::BareLf),
        BodyError::Trailers(_) => BodyError::Trailers(HeadError::Field),
    });
    let refusals = every!(Refusal {
        Refusal::Missing => Refusal::Missing,
        Refusal::Malformed => Refusal::Malformed,
        Refusal::Wrong => Refusal::Wrong,
        Refusal::Busy => Refusal::Busy,
    });
    let mut all: BTreeSet<&'static str> = failures();
    all.extend(OWN_OUTCOMES);
    all.extend(heads.into_iter().map(HeadError::token));
    all.extend(targets.into_iter().map(TargetError::token));
    all.extend(bodies.into_iter().map(BodyError::token));
    all.extend(refusals.into_iter().map(Refusal::token));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_has_every_fault_in_every_state() {
        let all = catalogue();
        let faults = all.iter().filter(|item| item.starts_with("fault/")).count();
        assert_eq!(faults, CATALOGUE.len() * HEALTHS.len() * SITUATIONS.len());
        for some in
            ["fault/refuse/ejected/drain", "event/recovered", "rule/failed_alike", "outcome/bare_lf", "end/idle"]
        {
            assert!(all.contains(some), "{some}");
        }
    }
}
