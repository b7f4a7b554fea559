//! How a request went: fine, or what went wrong and where.

use std::fmt;
use std::io;

use serde::Serialize;

/// How a request went.
pub type Outcome = Result<(), Failure>;

/// What went wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Failure {
    /// What.
    pub kind: Kind,
    /// Where.
    pub phase: Phase,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// No connection: it was refused.
    Refused,
    /// No connection: the network or the name could not be reached.
    Unreachable,
    /// An answer with another status than was hoped for.
    Status(u16),
    /// Nothing came in time.
    Timeout,
    /// The connection was reset.
    Reset,
    /// The connection ended before its time, in order.
    Cut,
    /// Other bytes came than must have.
    Corrupt,
    /// What came is not HTTP as RFC 9112 has it.
    Malformed,
    /// TLS with the target failed.
    Tls,
    /// The load generator ran out of descriptors, ports or memory: says nothing about the proxy.
    Local,
    /// The run was stopped before it was over: says nothing about the proxy.
    Unfinished,
}

/// Where a request was.
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

impl Kind {
    /// The kind that an I/O error stands for.
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind as E;
        match error.kind() {
            E::ConnectionRefused => Kind::Refused,
            E::ConnectionReset | E::ConnectionAborted | E::BrokenPipe | E::NotConnected => Kind::Reset,
            E::UnexpectedEof => Kind::Cut,
            E::TimedOut => Kind::Timeout,
            E::InvalidData => Kind::Malformed,
            E::AddrNotAvailable | E::AddrInUse | E::OutOfMemory => Kind::Local,
            // EMFILE and ENFILE have no kind of their own.
            _ if matches!(error.raw_os_error(), Some(23 | 24)) => Kind::Local,
            _ => Kind::Unreachable,
        }
    }

    /// Whether it says something about the proxy.
    pub fn is_proxys(self) -> bool {
        !matches!(self, Kind::Local | Kind::Unfinished)
    }

    /// The failure that it is in `phase`.
    pub fn at(self, phase: Phase) -> Failure {
        Failure { kind: self, phase }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Refused => f.write_str("refused"),
            Kind::Unreachable => f.write_str("unreachable"),
            Kind::Status(status) => write!(f, "status {status}"),
            Kind::Timeout => f.write_str("timeout"),
            Kind::Reset => f.write_str("reset"),
            Kind::Cut => f.write_str("cut"),
            Kind::Corrupt => f.write_str("corrupt"),
            Kind::Malformed => f.write_str("malformed"),
            Kind::Tls => f.write_str("tls"),
            Kind::Local => f.write_str("out of local resources"),
            Kind::Unfinished => f.write_str("unfinished"),
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
