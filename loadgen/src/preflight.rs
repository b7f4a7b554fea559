//! What can be known to be wrong before any load starts.

use std::net::SocketAddr;
use std::sync::Arc;

use loadgen::action::What;
use loadgen::{Event, Failure, Gauge, Kind, Outcome, Pace, Phase, Shard, Stop, User, Workload, drive};
use rustls::ClientConfig;

use crate::sockets::Tcp;

/// Users that are tried; a longer list is taken on trust.
const MOST_TRIED: usize = 16;

/// Finds the proxy's address.
pub(crate) async fn resolve(proxy: &str) -> Result<SocketAddr, String> {
    let mut found = tokio::net::lookup_host(proxy)
        .await
        .map_err(|error| format!("--proxy {proxy}: expected HOST:PORT that can be resolved: {error}"))?;
    found.next().ok_or_else(|| format!("--proxy {proxy}: the name has no address"))
}

/// Sends one request as each user; all must go well.
pub(crate) async fn probe(
    workload: &Workload,
    proxy: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
) -> Result<(), String> {
    let net = Tcp::new(proxy, tls).map_err(|error| format!("no timer: {error}"))?;
    let users: Vec<Option<&User>> = match workload.users.as_slice() {
        [] => vec![None],
        users => users.iter().take(MOST_TRIED).map(Some).collect(),
    };
    let mut action = workload.mix.action(0).clone();
    if action.is_tunnel() {
        action.what = What::Connect;
    }
    for user in users {
        let pace = Pace::Closed { clients: 1, ramp_up: Default::default(), think: Default::default() };
        let one = Stop { requests: Some(1), after: None };
        let mut probe = Workload::new(workload.seed, pace, one, action.clone());
        probe.id_prefix = format!("p{}", workload.id_prefix);
        probe.timeout = workload.timeout;
        probe.users = user.cloned().into_iter().collect();
        let mut outcome: Outcome = Ok(());
        let mut observe = |event| {
            if let Event::Ended(done) = event {
                outcome = done.outcome;
            }
        };
        drive(&probe, Shard::WHOLE, &net, &Gauge::default(), &mut observe, std::future::pending()).await;
        outcome.map_err(|failure| explain(failure, proxy, user, &action.target_for("ID")))?;
    }
    Ok(())
}

fn explain(failure: Failure, proxy: SocketAddr, user: Option<&User>, target: &str) -> String {
    match (failure.kind, failure.phase, user) {
        (kind, Phase::Connect, _) => format!("can't connect to the proxy at {proxy}: {kind}; is it running there?"),
        (Kind::Status(407), _, None) => {
            format!("the proxy at {proxy} asks for credentials (407): give --user NAME:PASSWORD")
        }
        (Kind::Status(407), _, Some(user)) => {
            format!("the proxy at {proxy} refuses user `{}` (407): check --user and --users", user.name())
        }
        (Kind::Malformed, ..) => format!("what listens at {proxy} does not answer as an HTTP proxy"),
        _ => format!(
            "a first request through {proxy} to {target} failed: {failure}; check the target and the proxy's upstreams, \
             or start all the same with --no-probe"
        ),
    }
}
