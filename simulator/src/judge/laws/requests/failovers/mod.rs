//! Laws about how often requests are tried at another upstream.

pub(in crate::judge) mod attempts;
pub(in crate::judge) mod failover;
pub(in crate::judge) mod retry_budget;

use std::collections::BTreeSet;
use std::time::Duration;

use loadgen::{ActionKind, ConnectionUse};

use crate::judge::excuse::Excuse;
use crate::judge::witnesses::{ClientRequest, Witnesses};

/// Whether its client may have sent it twice, where the connection was closing on which it went first.
fn may_be_sent_again(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> bool {
    let keeps = |action: &loadgen::Action| matches!(&action.kind, ActionKind::Http { connection, .. } if *connection != ConnectionUse::Once);
    let went_out_anew = asked.result().is_none_or(|result| !result.reused);
    witnesses.may_be_pipelined(asked) || (went_out_anew && witnesses.action_of(asked).is_some_and(keeps))
}

/// Why a failed request may have been answered by an upstream that does not tell of it: what one connection leaves without an answer, the
/// client of a pipeline sends again on another, and whoever answered there may have been killed before it told.
pub(super) fn may_be_answered_untold(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> Option<Excuse> {
    let failed = asked.result().is_none_or(|result| result.failure.is_some());
    let mut hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    let mut killed = || hosts.any(|host| witnesses.disturbances.killed(host, asked.began, witnesses.end_of(asked)));
    (failed && witnesses.may_be_pipelined(asked) && killed()).then_some(Excuse::UpstreamKilled)
}

/// The hosts to which names that move have led. A kept connection may go to where its upstream's name led before, and the same attempt then
/// to where it leads now.
fn hosts_of_moving_names<'a>(witnesses: &'a Witnesses<'_>) -> BTreeSet<&'a str> {
    let configurations = &witnesses.configurations;
    let upstreams = configurations.given().flat_map(|(_, config)| &config.upstreams);
    let aliases = upstreams.filter(|one| configurations.is_alias(&one.host));
    let hosts = aliases.map(|one| configurations.hosts_of(&one.host, Duration::ZERO, witnesses.over));
    hosts.filter(|hosts| hosts.len() > 1).flatten().collect()
}

/// The upstream that answers on `host`; all of the `moving` hosts are taken for one.
fn upstream_of<'a>(moving: &BTreeSet<&str>, host: &'a str) -> Option<&'a str> {
    (!moving.contains(host)).then_some(host)
}
