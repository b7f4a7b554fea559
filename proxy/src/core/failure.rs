//! Lists how attempts fail, who could have written what was seen, and what follows from that if it is plain.

use super::health::Charge;

/// Who is to blame for a failed attempt. Only [`Blame::Upstream`] ejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blame {
    /// It went away.
    Client,
    /// This proxy: out of descriptors, of ports, of memory.
    Netdrift,
    /// The proxy we went through.
    Upstream,
    /// The final host.
    Target,
    /// Nothing decides it.
    Unknown,
}

impl Blame {
    /// Its name in logs, events and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Blame::Client => "client",
            Blame::Netdrift => "netdrift",
            Blame::Upstream => "upstream",
            Blame::Target => "target",
            Blame::Unknown => "unknown",
        }
    }
}

/// The rule by which the blame was laid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The client went away first.
    ClientWentAway,
    /// This proxy lacked what the attempt needed.
    OwnResources,
    /// The upstream's name could not be looked up.
    Resolver,
    /// Most upstreams were out of reach within moments.
    OwnNetwork,
    /// The request's deadline left the attempt less than its own time-out.
    CutShort,
    /// No TCP connection to the upstream.
    Unreachable,
    /// No TLS session with the upstream.
    Tls,
    /// The upstream's head was not HTTP.
    MalformedHead,
    /// The upstream refused our credentials (407).
    CredentialsRefused,
    /// Another upstream then opened the same target.
    OpenedElsewhere,
    /// Another upstream then delivered from the same target.
    DeliveredElsewhere,
    /// Another upstream failed alike.
    FailedAlike,
    /// No other upstream was heard.
    StoodAlone,
}

impl Rule {
    /// Its name in logs and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rule::ClientWentAway => "client_went_away",
            Rule::OwnResources => "own_resources",
            Rule::Resolver => "resolver",
            Rule::OwnNetwork => "own_network",
            Rule::CutShort => "cut_short",
            Rule::Unreachable => "unreachable",
            Rule::Tls => "tls",
            Rule::MalformedHead => "malformed_head",
            Rule::CredentialsRefused => "credentials_refused",
            Rule::OpenedElsewhere => "opened_elsewhere",
            Rule::DeliveredElsewhere => "delivered_elsewhere",
            Rule::FailedAlike => "failed_alike",
            Rule::StoodAlone => "stood_alone",
        }
    }

    /// What it says, for people.
    pub const fn in_words(self) -> &'static str {
        match self {
            Rule::ClientWentAway => "the client went away first",
            Rule::OwnResources => "this proxy had no descriptor, port or memory left for the attempt",
            Rule::Resolver => "the upstream's name could not be looked up",
            Rule::OwnNetwork => "most upstreams were out of reach within moments, so it was the network here",
            Rule::CutShort => "the request's deadline left the attempt less than its own time-out",
            Rule::Unreachable => "no TCP connection to it came about",
            Rule::Tls => "no TLS session with it came about",
            Rule::MalformedHead => "the head of its reply was not HTTP",
            Rule::CredentialsRefused => "it refused the credentials that it is configured with (407)",
            Rule::OpenedElsewhere => "another upstream then opened the same target",
            Rule::DeliveredElsewhere => "another upstream then delivered from the same target",
            Rule::FailedAlike => "another upstream failed alike on the same target",
            Rule::StoodAlone => "no other upstream was heard on the same target",
        }
    }
}

/// What an upstream was asked for. Its answer to a CONNECT is its own; in a reply to plain HTTP every byte may be the
/// target's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// A tunnel, by CONNECT.
    Tunnel,
    /// A reply, by plain HTTP.
    Page,
}

/// Who could have written what was seen of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The client.
    Client,
    /// This proxy, or what it runs on.
    Netdrift,
    /// The request's deadline: nobody else had the time.
    Deadline,
    /// The upstream alone.
    Upstream,
    /// The upstream, or the target behind it.
    UpstreamOrTarget,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client went away before the end was known.
    ClientGone,
    /// This proxy had no descriptor, port or memory left for the attempt.
    OwnResources,
    /// The resolver could not say where the upstream is.
    NameUnresolved,
    /// The resolver did not say in time where the upstream is.
    NameTimeout,
    /// The time that the request's deadline left was over before the attempt's own time-out.
    CutShort,
    /// The upstream refused the TCP connection.
    ConnectRefused,
    /// The TCP connection took too long.
    ConnectTimeout,
    /// The TCP connection failed otherwise: no route.
    ConnectFailed,
    /// TLS with the upstream failed or took too long.
    TlsFailed,
    /// The reply's head was malformed, too large or ended early.
    MalformedHead,
    /// A tunnel was opened, and ended or was reset from the upstream's side before any byte of the target.
    EmptyTunnel,
    /// No reply in time.
    ReplyTimeout,
    /// Closed before the first byte of a head.
    ClosedBeforeHead,
    /// Reset before the first byte of a head.
    ResetBeforeHead,
    /// A status that is no success.
    Status(u16),
}

/// What failures that cannot tell are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Symptom {
    Status,
    Malformed,
    Silence,
    Closed,
    Empty,
}

/// Whether a failure can be blamed at once.
pub(super) enum Class {
    Plain(Blame, Rule, Option<Charge>),
    CannotTell(Symptom, Charge),
}

impl Failure {
    /// Its name in logs, events and metric labels; a bounded set.
    pub const fn as_str(self) -> &'static str {
        match self {
            Failure::ClientGone => "client_gone",
            Failure::OwnResources => "own_resources",
            Failure::NameUnresolved => "dns_error",
            Failure::NameTimeout => "dns_timeout",
            Failure::CutShort => "cut_short",
            Failure::ConnectRefused => "connect_refused",
            Failure::ConnectTimeout => "connect_timeout",
            Failure::ConnectFailed => "connect_failed",
            Failure::TlsFailed => "tls_failed",
            Failure::MalformedHead => "malformed_head",
            Failure::EmptyTunnel => "empty_tunnel",
            Failure::ReplyTimeout => "reply_timeout",
            Failure::ClosedBeforeHead => "closed_before_head",
            Failure::ResetBeforeHead => "reset_before_head",
            Failure::Status(407) => "status_407",
            Failure::Status(300..=399) => "status_3xx",
            Failure::Status(400..=499) => "status_4xx",
            Failure::Status(_) => "status_5xx",
        }
    }

    /// Who could have written it, of an upstream that was asked for `asked`.
    pub const fn author(self, asked: Service) -> Author {
        match self {
            Failure::ClientGone => Author::Client,
            Failure::OwnResources | Failure::NameUnresolved | Failure::NameTimeout => Author::Netdrift,
            Failure::CutShort => Author::Deadline,
            Failure::ConnectRefused | Failure::ConnectTimeout | Failure::ConnectFailed | Failure::TlsFailed => {
                Author::Upstream
            }
            Failure::MalformedHead | Failure::Status(407) => match asked {
                Service::Tunnel => Author::Upstream,
                Service::Page => Author::UpstreamOrTarget,
            },
            Failure::EmptyTunnel
            | Failure::ReplyTimeout
            | Failure::ClosedBeforeHead
            | Failure::ResetBeforeHead
            | Failure::Status(_) => Author::UpstreamOrTarget,
        }
    }

    /// The upstream was out of reach, which our own network may have caused as well.
    pub const fn is_out_of_reach(self) -> bool {
        matches!(self, Failure::ConnectTimeout | Failure::ConnectFailed)
    }

    /// The upstream's host was heard of.
    pub const fn is_of_the_upstream(self) -> bool {
        !self.is_out_of_reach()
            && !matches!(
                self,
                Failure::ClientGone
                    | Failure::OwnResources
                    | Failure::NameUnresolved
                    | Failure::NameTimeout
                    | Failure::CutShort
            )
    }

    pub(super) fn classify(self, asked: Service) -> Class {
        match self.author(asked) {
            Author::Client => Class::Plain(Blame::Client, Rule::ClientWentAway, None),
            Author::Netdrift => Class::Plain(Blame::Netdrift, self.rule(), None),
            Author::Deadline => Class::Plain(Blame::Unknown, Rule::CutShort, None),
            Author::Upstream => Class::Plain(Blame::Upstream, self.rule(), Some(self.charge(asked))),
            Author::UpstreamOrTarget => Class::CannotTell(self.symptom(), self.charge(asked)),
        }
    }

    /// By which the blame for what is plain is laid.
    const fn rule(self) -> Rule {
        match self {
            Failure::NameUnresolved | Failure::NameTimeout => Rule::Resolver,
            Failure::ConnectRefused | Failure::ConnectTimeout | Failure::ConnectFailed => Rule::Unreachable,
            Failure::TlsFailed => Rule::Tls,
            Failure::MalformedHead => Rule::MalformedHead,
            Failure::Status(_) => Rule::CredentialsRefused,
            _ => Rule::OwnResources,
        }
    }

    /// What the upstream is charged with where it is its fault.
    pub const fn charge(self, asked: Service) -> Charge {
        match (self, asked) {
            (Failure::ConnectRefused | Failure::ConnectTimeout | Failure::ConnectFailed | Failure::TlsFailed, _) => {
                Charge::Unreachable
            }
            (Failure::EmptyTunnel, _) => Charge::EmptyTunnel,
            (_, Service::Page) => Charge::Page,
            (Failure::MalformedHead | Failure::Status(407), Service::Tunnel) => Charge::BadAnswer,
            (_, Service::Tunnel) => Charge::Tunnel,
        }
    }

    const fn symptom(self) -> Symptom {
        match self {
            Failure::ReplyTimeout => Symptom::Silence,
            Failure::ClosedBeforeHead | Failure::ResetBeforeHead => Symptom::Closed,
            Failure::EmptyTunnel => Symptom::Empty,
            Failure::MalformedHead => Symptom::Malformed,
            _ => Symptom::Status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever asks for a request's story reads why a failure was charged to somebody.
    #[test]
    fn each_rule_is_told_in_a_sentence_of_its_own() {
        let rules = [
            (Rule::ClientWentAway, "client"),
            (Rule::OwnResources, "descriptor"),
            (Rule::Resolver, "looked up"),
            (Rule::OwnNetwork, "network here"),
            (Rule::CutShort, "deadline"),
            (Rule::Unreachable, "TCP"),
            (Rule::Tls, "TLS"),
            (Rule::MalformedHead, "not HTTP"),
            (Rule::CredentialsRefused, "407"),
            (Rule::OpenedElsewhere, "then opened"),
            (Rule::DeliveredElsewhere, "then delivered"),
            (Rule::FailedAlike, "failed alike"),
            (Rule::StoodAlone, "no other upstream"),
        ];
        for (rule, word) in rules {
            let saying = rules.iter().filter(|(other, _)| other.in_words().contains(word)).map(|(other, _)| *other);
            assert_eq!(saying.collect::<Vec<_>>(), [rule], "{word}");
        }
    }
}
