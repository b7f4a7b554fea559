//! For how long clients let nothing go through their tunnels, and whether the proxy may end these for it.

use std::time::Duration;

use loadgen::ActionKind;
use proxy::config::Config;

use super::{ClientRequest, Witnesses};

impl Witnesses<'_> {
    /// For how long the client of a request lets nothing go through its tunnel, if it does so.
    pub fn pause_of(&self, asked: &ClientRequest<'_>) -> Option<Duration> {
        match self.action_of(asked)?.kind {
            ActionKind::Hold { span, every, .. } => Some(span.min(every)),
            _ => None,
        }
    }

    /// For how long the client of a request leaves its side of the tunnel open, and says nothing, once the other end has ended, if it does.
    pub fn stays_for(&self, asked: &ClientRequest<'_>) -> Option<Duration> {
        match self.action_of(asked)?.kind {
            ActionKind::Download { wait, .. } if !wait.is_zero() => Some(wait),
            _ => None,
        }
    }

    /// How long a tunnel may last through which nothing goes, and of which one side has ended.
    pub fn half_closed(&self, config: &Config) -> Duration {
        // Others have one time-out for silent tunnels of both kinds.
        if self.subject.tells() { config.timeouts.half_closed } else { config.timeouts.idle_tunnel }
    }

    /// Whether the tunnel of a request may be ended because nothing goes through it.
    pub fn may_fall_idle(&self, asked: &ClientRequest<'_>) -> bool {
        let may_be_over = |pause: Duration, limit: &dyn Fn(&Config) -> Duration| {
            let longest = pause + self.one_way() * 2 + self.resending() + self.tolerance;
            self.configurations.during(asked.began, self.end_of(asked)).any(|one| longest >= limit(one))
        };
        self.pause_of(asked).is_some_and(|pause| may_be_over(pause, &|one| one.timeouts.idle_tunnel))
            || self.stays_for(asked).is_some_and(|stays| may_be_over(stays, &|one| self.half_closed(one)))
    }
}
