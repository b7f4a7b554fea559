//! A failed attempt: what is done about it follows from its [`Failure`]; why it failed is told in the words of whoever
//! noticed.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::core::attribution::Failure;
use crate::http::head::{Fields, HeadError, HeadLimits};
use crate::http::replies::ReplyError;

/// Characters of a cause that are kept: a certificate may hold names without end.
const MAX_CAUSE: usize = 200;

/// Fields in which proxies and those who sell them say why they refuse a CONNECT, the plainest first: Oxylabs and others,
/// Bright Data under two names, Zyte, Squid, RFC 9209.
const REASONS: [&str; 6] =
    ["X-Error-Description", "X-Brd-Error", "X-Luminati-Error", "X-Crawlera-Error", "X-Squid-Error", "Proxy-Status"];

/// How an attempt failed, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FailedAttempt {
    /// What decides: for machines.
    pub(crate) failure: Failure,
    /// The system's or a library's words, or the upstream's about itself: for people. No secret is in it.
    pub(crate) cause: Option<Arc<str>>,
}

impl FailedAttempt {
    /// `failure`, because of `cause`.
    pub(crate) fn new(failure: Failure, cause: impl Display) -> Self {
        FailedAttempt { failure, cause: Some(told(cause)) }
    }

    /// The reply's head can't be used.
    pub(crate) fn malformed(error: HeadError, limits: HeadLimits) -> Self {
        match error {
            HeadError::TooLarge | HeadError::StartLineTooLong => {
                Self::new(Failure::MalformedHead, format_args!("head larger than {} bytes", limits.max_bytes))
            }
            HeadError::TooManyFields => {
                Self::new(Failure::MalformedHead, format_args!("head of more than {} fields", limits.max_fields))
            }
            error => Self::new(Failure::MalformedHead, error),
        }
    }

    /// There is no reply that could be used.
    pub(crate) fn reply(error: ReplyError, limits: HeadLimits) -> Self {
        match error {
            ReplyError::Head(error) => Self::malformed(error, limits),
            ReplyError::Failed(error) => Self::new(Failure::ResetBeforeHead, error),
            ReplyError::Closed => Failure::ClosedBeforeHead.into(),
            ReplyError::OtherProtocol | ReplyError::Tls | ReplyError::TooManyInterim | ReplyError::Cut => {
                Self::new(Failure::MalformedHead, error)
            }
        }
    }

    /// The upstream changed protocols unasked.
    pub(crate) fn switched() -> Self {
        Self::new(Failure::MalformedHead, "status 101 that was not asked for")
    }

    /// Our CONNECT was refused with `status`. What the reply's `fields` say of the reason is told as well, unless one of
    /// `secrets` is in it.
    pub(crate) fn refused<'s>(status: u16, fields: &Fields, secrets: impl Iterator<Item = &'s str>) -> Self {
        let said = REASONS.iter().find_map(|name| fields.get_all(name).next().map(printable));
        match said.filter(|said| !said.is_empty()) {
            Some(said) if !shows(&said, secrets) => {
                Self::new(Failure::Status(status), format_args!("status {status}: {said}"))
            }
            _ => Failure::Status(status).into(),
        }
    }

    /// Nothing came of it within `limit`.
    pub(crate) fn timed_out(failure: Failure, what: &str, limit: Duration) -> Self {
        Self::new(failure, format_args!("{what} within {}", humantime::format_duration(whole_millis(limit))))
    }
}

impl From<Failure> for FailedAttempt {
    /// A failure that says it all, but for the status behind its class.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Status(status) => Self::new(failure, format_args!("status {status}")),
            _ => FailedAttempt { failure, cause: None },
        }
    }
}

/// `cause` as one line of bounded length.
pub(crate) fn told(cause: impl Display) -> Arc<str> {
    let text = cause.to_string();
    let line: String = text.chars().take(MAX_CAUSE).map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.into()
}

/// Whether one of `secrets` is in `said`, as it is or as it stands in a URL.
fn shows<'s>(said: &str, mut secrets: impl Iterator<Item = &'s str>) -> bool {
    let in_url = |secret| utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    secrets.any(|secret| !secret.is_empty() && (said.contains(secret) || said.contains(&in_url(secret))))
}

/// What of `value` a terminal shows as it is.
fn printable(value: &[u8]) -> String {
    let shown = value.iter().map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { ' ' });
    shown.collect::<String>().trim().to_owned()
}

fn whole_millis(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_one_line_of_bounded_length() {
        let cause =
            FailedAttempt::new(Failure::TlsFailed, "a\r\nb\u{1b}[2J".to_owned() + &"é".repeat(1000)).cause.unwrap();
        assert!(cause.starts_with("a  b [2J"), "{cause}");
        assert_eq!(cause.chars().count(), MAX_CAUSE);
    }

    #[test]
    fn a_limit_that_was_passed_is_named() {
        let limits = HeadLimits { max_bytes: 16_384, max_fields: 100 };
        let cause = |error| FailedAttempt::malformed(error, limits).cause.unwrap().to_string();
        assert_eq!(cause(HeadError::TooLarge), "head larger than 16384 bytes");
        assert_eq!(cause(HeadError::TooManyFields), "head of more than 100 fields");
        assert_eq!(cause(HeadError::BareLf), HeadError::BareLf.to_string());
        let late = FailedAttempt::timed_out(Failure::ReplyTimeout, "no reply", Duration::from_micros(2_500_400));
        assert_eq!(late.cause.as_deref(), Some("no reply within 2s 500ms"));
    }
}
