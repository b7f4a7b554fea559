//! When an upstream is ejected and when it comes back.

use std::num::NonZeroU32;
use std::time::Duration;

/// The figures that health follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// Consecutive failures charged to an upstream that eject it.
    pub failure_threshold: NonZeroU32,
    /// Successes of attempts started after the ejection that restore it.
    pub recovery_threshold: NonZeroU32,
    /// The first back-off between an ejection and its probe; doubles with every failed probe.
    pub backoff_base: Duration,
    /// The longest back-off.
    pub backoff_max: Duration,
}
