//! The words that the proxy tells of failures, blame and ends. The compiler helps: a new variant of its enumerations does not compile here
//! until it is listed.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proxy::authentication::Refusal;
use proxy::core::attribution::{Blame, Failure, Rule};
use proxy::env::RelayEnd;
use proxy::http::authority::AuthorityError;
use proxy::http::body::BodyError;
use proxy::http::head::HeadError;
use proxy::http::target::TargetError;

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

/// How attempts fail.
pub fn failures() -> BTreeSet<&'static str> {
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

/// The rules by which blame is laid.
pub fn rules() -> Vec<&'static str> {
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
    .map(Rule::as_str)
    .to_vec()
}

/// Who is blamed.
pub fn blames() -> Vec<&'static str> {
    every!(Blame {
        Blame::Client => Blame::Client,
        Blame::Netdrift => Blame::Netdrift,
        Blame::Upstream => Blame::Upstream,
        Blame::Target => Blame::Target,
        Blame::Unknown => Blame::Unknown,
    })
    .map(Blame::as_str)
    .to_vec()
}

/// How tunnels end.
pub fn ends() -> Vec<&'static str> {
    every!(RelayEnd {
        RelayEnd::Closed => RelayEnd::Closed,
        RelayEnd::ClientReset => RelayEnd::ClientReset,
        RelayEnd::UpstreamReset => RelayEnd::UpstreamReset,
        RelayEnd::UpstreamClosed => RelayEnd::UpstreamClosed,
        RelayEnd::Idle => RelayEnd::Idle,
        RelayEnd::HalfClosedIdle => RelayEnd::HalfClosedIdle,
        RelayEnd::Stopped => RelayEnd::Stopped,
    })
    .map(RelayEnd::as_str)
    .to_vec()
}

/// How requests end, errors of clients among them.
pub fn outcomes() -> BTreeSet<&'static str> {
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

/// The proxy's own word of that text, whatever it is about; `None` for a text that is none of its words. What a log says is never kept.
pub fn known(text: &str) -> Option<&'static str> {
    static ALL: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
        let lists = [failures().into_iter().collect(), rules(), blames(), ends(), outcomes().into_iter().collect()];
        lists.into_iter().flatten().collect()
    });
    ALL.get(text).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxys_words_are_known_and_nothing_else_is() {
        for word in
            ["ok", "connect_refused", "status_5xx", "opened_elsewhere", "netdrift", "half_closed_idle", "bare_lf"]
        {
            assert_eq!(known(word), Some(word));
        }
        for text in ["", "OK", "hunter2", "status_503", "connect_refused "] {
            assert_eq!(known(text), None, "{text}");
        }
    }
}
