//! Holds the settings in force: a configuration and what is derived from it.

use crate::authentication::Authenticator;
use crate::config::Config;
use crate::env::{Env, RelayLimits};
use crate::http::head::HeadLimits;
use crate::http::via::Via;

/// A configuration in force and what is derived from it. A request keeps the settings that it began with.
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// Counted from 1, the configuration at start.
    pub(crate) epoch: u64,
    pub(crate) auth: Option<Authenticator>,
    pub(crate) limits: HeadLimits,
    pub(crate) via: Via,
}

impl Settings {
    /// Those of `config`, behind the `former` ones where it comes by a reload.
    pub(crate) fn new<E: Env>(config: Config, epoch: u64, via: Via, former: Option<&Settings>, env: &E) -> Self {
        let former = former.and_then(|former| former.auth.as_ref());
        Settings {
            auth: Authenticator::new(&config.authentication, former, env),
            limits: HeadLimits::from(&config.limits),
            via,
            epoch,
            config,
        }
    }

    /// When a tunnel ends by itself.
    pub(crate) fn relay_limits(&self) -> RelayLimits {
        let timeouts = &self.config.timeouts;
        RelayLimits { idle: timeouts.idle_tunnel, half_closed: timeouts.half_closed }
    }
}
