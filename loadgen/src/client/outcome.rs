//! Says how a request ended: well, or what went wrong and in which phase.

use std::fmt;
use std::io;

use serde::Serialize;

/// How a request went.
pub type Outcome = Result<(), Failure>;

/// What went wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// In which phase of the request.
    pub phase: Phase,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No connection: it was refused.
    Refused,
    /// No connection: the network or the name could not be reached.
    Unreachable,
    /// The answer had another status than the one that was expected.
    Status(u16),
    /// The request ran out of time.
    Timeout,
    /// The connection was reset.
    Reset,
    /// The other side ended the connection in order, but too early.
    Cut,
    /// Other bytes came than the ones that were expected.
    Corrupt,
    /// What came is not HTTP by RFC 9112.
    Malformed,
    /// TLS with the target failed.
    Tls,
    /// The load generator ran out of descriptors, ports or memory. This says nothing about the proxy.
    Local,
    /// The run was stopped while the request was in flight. This says nothing about the proxy.
    Unfinished,
}

/// In which phase a request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connecting to the proxy.
    Connect,
    /// Waiting for the reply to CONNECT, or for the response head of a plain request.
    Reply,
    /// Shaking hands with the target.
    Tls,
    /// Moving bytes.
    Data,
}

impl FailureKind {
    /// The kind that an I/O error stands for.
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind as E;
        match error.kind() {
            E::ConnectionRefused => FailureKind::Refused,
            E::ConnectionReset | E::ConnectionAborted | E::BrokenPipe | E::NotConnected => FailureKind::Reset,
            E::UnexpectedEof => FailureKind::Cut,
            E::TimedOut => FailureKind::Timeout,
            E::InvalidData => FailureKind::Malformed,
            E::AddrNotAvailable | E::AddrInUse | E::OutOfMemory => FailureKind::Local,
            // EMFILE and ENFILE have no kind of their own.
            _ if matches!(error.raw_os_error(), Some(23 | 24)) => FailureKind::Local,
            _ => FailureKind::Unreachable,
        }
    }

    /// Whether it says something about the proxy, and not about the load generator alone.
    pub fn is_proxys(self) -> bool {
        !matches!(self, FailureKind::Local | FailureKind::Unfinished)
    }

    /// Makes it a failure in `phase`.
    pub fn at(self, phase: Phase) -> Failure {
        Failure { kind: self, phase }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailureKind::Refused => f.write_str("refused"),
            FailureKind::Unreachable => f.write_str("unreachable"),
            FailureKind::Status(status) => write!(f, "status {status}"),
            FailureKind::Timeout => f.write_str("timeout"),
            FailureKind::Reset => f.write_str("reset"),
            FailureKind::Cut => f.write_str("cut"),
            FailureKind::Corrupt => f.write_str("corrupt"),
            FailureKind::Malformed => f.write_str("malformed"),
            FailureKind::Tls => f.write_str("tls"),
            FailureKind::Local => f.write_str("out of local resources"),
            FailureKind::Unfinished => f.write_str("unfinished"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Connect => "connecting",
            Phase::Reply => "waiting for the reply",
            Phase::Tls => "in TLS",
            Phase::Data => "in the data",
        };
        write!(f, "{} {phase}", self.kind)
    }
}
