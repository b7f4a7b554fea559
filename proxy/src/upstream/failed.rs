//! A failed attempt: what is done about it follows from its [`Failure`]; why it failed is told in the words of whoever
//! noticed.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use crate::core::attribution::Failure;
use crate::http::head::{HeadError, HeadLimits};
use crate::http::replies::ReplyError;

/// Characters of a cause that are kept: a certificate may hold names without end.
const MAX_CAUSE: usize = 200;

/// How an attempt failed, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FailedAttempt {
    /// What decides: for machines.
    pub(crate) failure: Failure,
    /// The system's or a library's words: for people. Nothing that a peer or a client wrote, so no secret.
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
            ReplyError::OtherProtocol | ReplyError::TooManyInterim | ReplyError::Cut => {
                Self::new(Failure::MalformedHead, error)
            }
        }
    }

    /// The upstream changed protocols unasked.
    pub(crate) fn switched() -> Self {
        Self::new(Failure::MalformedHead, "status 101 that was not asked for")
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
