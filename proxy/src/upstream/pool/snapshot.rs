//! Builds the upstreams and the schedule in force from a configuration; they never change once published.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::Upstream;
use super::turns::{HasTurns, Turns};
use crate::config::{ActiveChecks, Config, UpstreamKey};
use crate::core::attribution::DEFAULT_MEMORY;
use crate::core::balancer::Epoch;
use crate::core::failover::FailoverPolicy;
use crate::core::health::UpstreamHealth;
use crate::core::schedule::ScheduleTooLong;
use crate::core::upstream::{Member, UpstreamId};
use crate::env::Env;
use crate::event::{Excluded, Exclusion, Standing};
use crate::http::head::HeadLimits;
use crate::http::via::Via;
use crate::upstream::leg::TlsSetupError;
use crate::upstream::resolver::Resolver;

/// What a pick needs, never changed once published.
pub(crate) struct Snapshot<S> {
    pub(super) turns: Turns,
    /// Who is in those turns, and who is not.
    pub(super) standing: Arc<Standing>,
    /// In order of id.
    pub(crate) upstreams: Vec<Arc<Upstream<S>>>,
    pub(super) failover: FailoverPolicy,
    pub(crate) settings: Arc<UpstreamSettings>,
}

/// What the upstream's side needs of a configuration, for clients' requests and for checks.
pub(crate) struct UpstreamSettings {
    /// Active checks, where they are configured.
    pub(crate) checks: Option<ActiveChecks>,
    /// For how long what a check found out of its endpoint is remembered.
    pub(crate) check_memory: Duration,
    /// What an attempt of our own may take: for the connection, and for the reply.
    pub(crate) probe_timeouts: (Duration, Duration),
    /// The largest reply head taken.
    pub(crate) limits: HeadLimits,
    /// How long resolved addresses are used.
    pub(crate) dns: Duration,
    /// How long an unused connection is kept.
    pub(crate) pool_idle: Duration,
    /// What we write into Via.
    pub(crate) via: Via,
}

impl UpstreamSettings {
    /// Those of `config`.
    pub(super) fn new(config: &Config, via: Via) -> Arc<Self> {
        Arc::new(UpstreamSettings {
            checks: config.health.active.clone(),
            check_memory: check_memory(config),
            probe_timeouts: (config.timeouts.connect, config.health.timeout),
            limits: HeadLimits::from(&config.limits),
            dns: config.timeouts.dns,
            pool_idle: config.timeouts.pool_idle,
            via,
        })
    }
}

impl<S> HasTurns<AtomicU64> for Snapshot<S> {
    fn turns(&self) -> &Turns {
        &self.turns
    }
}

impl<S> Snapshot<S> {
    pub(crate) fn get(&self, id: UpstreamId) -> Option<&Arc<Upstream<S>>> {
        let index = self.upstreams.binary_search_by_key(&id, |upstream| upstream.id).ok()?;
        self.upstreams.get(index)
    }

    /// Which upstreams are in `next` with another password, other TLS or other fields: what happened before says nothing
    /// of how they will answer. (Another URL or user name makes another upstream.)
    pub(super) fn known_otherwise(&self, next: &[Arc<Upstream<S>>]) -> Vec<UpstreamId> {
        let changed =
            |one: &&Arc<Upstream<S>>| self.get(one.id).is_some_and(|before| !before.config.is_known_as(&one.config));
        next.iter().filter(changed).map(|one| one.id).collect()
    }

    /// Has the upstreams that `next` holds no more, or not as they were, give up their idle connections.
    pub(super) fn retire_all_but(&self, next: &Snapshot<S>) {
        for upstream in &self.upstreams {
            let heir = next.get(upstream.id);
            if !heir.is_some_and(|heir| Arc::ptr_eq(heir, upstream)) {
                upstream.retire(heir.map(AsRef::as_ref));
            }
        }
    }
}

/// Why a pool can't be built from a configuration.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The weights have too little in common.
    #[error("upstream_proxies: {0}")]
    Weights(#[from] ScheduleTooLong),
    /// An upstream's TLS.
    #[error("upstream_proxies: {url}: {error}")]
    Tls {
        /// Without credentials.
        url: String,
        /// What is wrong.
        error: TlsSetupError,
    },
}

/// Who takes picks in `epoch` and who does not, by the `health` of each.
pub(super) fn standing<S>(
    epoch: &Epoch,
    upstreams: &[Arc<Upstream<S>>],
    health: impl Fn(UpstreamId) -> Option<UpstreamHealth>,
) -> Arc<Standing> {
    let excluded = |upstream: &Arc<Upstream<S>>| {
        let why = match health(upstream.id).and_then(|health| health.ejection()) {
            _ if !upstream.config.enabled => Exclusion::Disabled,
            _ if upstream.config.weight.is_zero() => Exclusion::WeightZero,
            Some(ejection) if ejection.suspected => Exclusion::Suspected,
            Some(_) => Exclusion::Ejected,
            None => return None,
        };
        Some(Excluded { upstream: Arc::clone(&upstream.label), why })
    };
    Arc::new(Standing::new(epoch.number(), epoch.eligible(), upstreams.iter().filter_map(excluded)))
}

pub(super) fn members<S>(upstreams: &[Arc<Upstream<S>>]) -> Vec<Member> {
    upstreams.iter().map(|upstream| Member { id: upstream.id, weight: upstream.config.weight }).collect()
}

/// The upstreams of `config` in order of id, keeping what is unchanged in `before`.
pub(super) fn build<S>(
    config: &Config,
    before: &[Arc<Upstream<S>>],
    next_id: &mut u32,
    resolver: &Resolver,
    env: &impl Env,
) -> Result<Vec<Arc<Upstream<S>>>, PoolError> {
    let known: BTreeMap<UpstreamKey, &Arc<Upstream<S>>> = before.iter().map(|one| (one.config.key(), one)).collect();
    let mut upstreams = Vec::with_capacity(config.upstreams.len());
    for wanted in &config.upstreams {
        let former = known.get(&wanted.key()).copied();
        let upstream = match former {
            Some(former) if former.config == *wanted => Arc::clone(former),
            _ => {
                let id = former.map_or_else(
                    || {
                        *next_id += 1;
                        UpstreamId::new(*next_id - 1)
                    },
                    |former| former.id,
                );
                let built = Upstream::new(id, Arc::clone(wanted), former.map(AsRef::as_ref), resolver, env);
                Arc::new(built.map_err(|error| PoolError::Tls { url: wanted.url.clone(), error })?)
            }
        };
        upstreams.push(upstream);
    }
    upstreams.sort_by_key(|upstream| upstream.id);
    Ok(upstreams)
}

/// Until every other upstream has come to the same endpoint: a round of them, and one interval since they are not in step.
fn check_memory(config: &Config) -> Duration {
    let Some(checks) = &config.health.active else { return DEFAULT_MEMORY };
    let round = if checks.rotate { u32::try_from(checks.endpoints.len()).unwrap_or(u32::MAX) } else { 1 };
    checks.interval.saturating_mul(round.saturating_add(1))
}
