//! Laws about how often requests are tried at another upstream.

pub(in crate::judge) mod attempts;
pub(in crate::judge) mod failover;
pub(in crate::judge) mod retry_budget;

use loadgen::{ActionKind, ConnectionUse};

use crate::judge::witnesses::{ClientRequest, Witnesses};

/// Whether its client may have sent it twice, where the connection was closing on which it went first.
fn may_be_sent_again(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> bool {
    let keeps = |action: &loadgen::Action| matches!(&action.kind, ActionKind::Http { connection, .. } if *connection != ConnectionUse::Once);
    let went_out_anew = asked.result().is_none_or(|result| !result.reused);
    witnesses.may_be_pipelined(asked) || (went_out_anew && witnesses.action_of(asked).is_some_and(keeps))
}
