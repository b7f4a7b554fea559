//! Sets an upstream of a running proxy by hand.
//!
//! A setting (disabled, draining, another weight) goes the way of a reload: the configuration in force with this one thing
//! changed. It lasts until a configuration is read again, which says everything anew. An ejection and its end are a matter of
//! health, which reloads keep.

use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use super::Proxy;
use crate::config::{HandSetting, Upstream};
use crate::context::Settings;
use crate::core::upstream::{UpstreamId, Weight};
use crate::env::Env;
use crate::event::Event;
use crate::upstream::PoolError;
use crate::upstream::pool::Picking;

/// What to do with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// It takes no requests, neither first nor behind others, until it is enabled. What is open through it goes on.
    Disable,
    /// It takes requests again.
    Enable,
    /// As `Disable`, and connections to it close once nobody uses them.
    Drain,
    /// As if its failures had ejected it: a probe lets it back in.
    Eject,
    /// If it is ejected, it takes requests again without a probe.
    Restore,
    /// Its share of first picks from now on.
    Weight(u32),
}

/// Who gives an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The user id.
    pub uid: u32,
    /// The process id, as far as the system tells.
    pub pid: Option<i32>,
}

/// What an order came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steered {
    /// What changed, or that nothing did.
    pub change: String,
    /// What may not be as meant.
    pub warnings: Vec<String>,
}

/// Why an order can't be followed. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// There is no such upstream.
    #[error("no upstream is called {0:?}; `proxy upstreams` shows their names")]
    Unknown(String),
    /// A weight is too large.
    #[error("a weight is {min} to {max}, not {0}", min = Weight::ZERO.get(), max = Weight::MAX.get())]
    Weight(u32),
    /// The weights can't be used together.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

impl<E: Env> Proxy<E> {
    /// Follows an `order` for the upstream that is called `name`, given by `operator`. Requests that begin from now on follow
    /// it; what is open through the upstream is not touched.
    ///
    /// # Errors
    /// There is no such upstream, or its weight can't be used.
    pub fn steer(&self, name: &str, order: Order, operator: Operator) -> Result<Steered, SteerError> {
        let context = &self.context;
        // A reload may come at the same time.
        let turn = context.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = context.settings.load_full();
        let snapshot = context.pool.snapshot();
        let unknown = || SteerError::Unknown(name.to_owned());
        let upstream = snapshot.upstreams.iter().find(|one| one.config.name == name).ok_or_else(unknown)?;
        let change = match setting(order)? {
            Some(setting) => self.set(&settings, &upstream.config, setting)?,
            None => self.set_health(upstream.id, order),
        };
        let was_so = change.is_none();
        let change = match change {
            Some(change) => format!("upstream {name} {change}"),
            None => format!("upstream {name} is {} already", state(order)),
        };
        if !was_so {
            let (upstream, url) = (upstream.id, &*upstream.label.url);
            let Operator { uid, pid } = operator;
            context.pool.emit(&Event::Steered { upstream, name, url, change: &change, uid, pid });
        }
        drop(turn);
        Ok(Steered { change, warnings: self.doubts(name) })
    }

    /// Puts the configuration in force with this one thing changed. Tells what is so now, or `None` where it was.
    fn set(
        &self,
        before: &Arc<Settings>,
        upstream: &Upstream,
        setting: HandSetting,
    ) -> Result<Option<String>, PoolError> {
        let set = Arc::new(upstream.with(setting));
        if *set == *upstream {
            return Ok(None);
        }
        let change = match setting {
            HandSetting::Disabled => "disabled".to_owned(),
            HandSetting::Draining => "drains".to_owned(),
            HandSetting::Enabled => format!("enabled, weight {}", set.weight.get()),
            HandSetting::Weight(weight) => format!("weight {} → {}", upstream.set_weight.get(), weight.get()),
        };
        let mut config = before.config.clone();
        for one in config.upstreams.iter_mut().filter(|one| one.key() == set.key()) {
            *one = Arc::clone(&set);
        }
        let context = &self.context;
        context.pool.configure(&config, before.via.clone())?;
        let settings = Settings::new(config, before.epoch, before.via.clone(), Some(before), &context.env);
        context.settings.store(Arc::new(settings));
        Ok(Some(change))
    }

    fn set_health(&self, upstream: UpstreamId, order: Order) -> Option<String> {
        let pool = &self.context.pool;
        if order == Order::Restore {
            pool.let_in(upstream)?;
            return Some("restored".to_owned());
        }
        pool.take_out(upstream)?;
        let due = pool.probe_due(upstream).map_or_else(Default::default, |due| due.since(pool.now()));
        Some(format!("ejected, probe in {:.1} s", due.as_secs_f64()))
    }

    /// What an operator may not have meant, as things stand.
    fn doubts(&self, name: &str) -> Vec<String> {
        let mut doubts = Vec::new();
        let snapshot = self.context.pool.snapshot();
        let upstream = snapshot.upstreams.iter().find(|one| one.config.name == name);
        if let Some(upstream) = upstream.filter(|one| one.config.enabled && one.config.weight.is_zero()) {
            doubts.push(format!("the weight of upstream {} is 0, so that it takes no requests", upstream.config.name));
        }
        match self.context.pool.picking() {
            Picking { usable: 0, .. } => {
                doubts.push("no upstream is left: requests are answered 503, and /readyz says so".to_owned());
            }
            Picking { eligible: 0, .. } => doubts
                .push("every upstream that is enabled is ejected: requests go to the one that failed least".to_owned()),
            _ => {}
        }
        doubts
    }
}

/// What `order` sets; `None` where it is a matter of health.
fn setting(order: Order) -> Result<Option<HandSetting>, SteerError> {
    Ok(Some(match order {
        Order::Disable => HandSetting::Disabled,
        Order::Enable => HandSetting::Enabled,
        Order::Drain => HandSetting::Draining,
        Order::Weight(number) => HandSetting::Weight(Weight::new(number).ok_or(SteerError::Weight(number))?),
        Order::Eject | Order::Restore => return Ok(None),
    }))
}

/// What an upstream is for which `order` has nothing to do.
fn state(order: Order) -> String {
    match order {
        Order::Disable => "disabled".to_owned(),
        Order::Enable => "enabled".to_owned(),
        Order::Drain => "draining".to_owned(),
        Order::Eject => "ejected".to_owned(),
        Order::Restore => "let in".to_owned(),
        Order::Weight(weight) => format!("of weight {weight}"),
    }
}
