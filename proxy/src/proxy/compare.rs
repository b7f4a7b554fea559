//! Says what a reload would change in a running proxy.

use super::Proxy;
use crate::config::{Config, Upstream, diff};
use crate::env::Env;

/// What a reload with a configuration would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What would change, a line each.
    pub changes: Vec<String>,
    /// What was set by hand and would end, a line each; what it changes stands among the changes as well.
    pub by_hand: Vec<String>,
    /// What would keep its old value until a restart.
    pub restart_required: Vec<String>,
}

impl<E: Env> Proxy<E> {
    /// Compares `config` with the one in force, and changes nothing.
    pub fn compare(&self, mut config: Config) -> Comparison {
        let running = self.context.settings.load();
        let restart_required = config.keep_restart_only(&running.config);
        let changes = diff(&running.config, &config).lines;
        let stays = |one: &Upstream| config.upstreams.iter().any(|new| new.key() == one.key() && new.is_set_as(one));
        let set_by_hand = running.config.upstreams.iter().filter(|one| one.by_hand.is_some());
        let by_hand = set_by_hand.filter(|one| !stays(one)).map(|one| set(one)).collect();
        Comparison { changes, by_hand, restart_required }
    }
}

/// How an upstream is set.
fn set(upstream: &Upstream) -> String {
    let state = match (upstream.enabled, upstream.is_draining()) {
        (true, _) => "enabled",
        (false, true) => "draining",
        (false, false) => "disabled",
    };
    format!("upstream {} {state}, weight {}", upstream.name, upstream.set_weight.get())
}
