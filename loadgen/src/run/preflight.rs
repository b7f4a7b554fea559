//! Finds what is wrong before any load starts.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::client::{Failure, FailureKind, OpenTunnels, Outcome, Phase};
use crate::drive::{RequestEvent, Shard, drive};
use crate::sockets::TcpConnector;
use crate::workload::{Action, ActionKind, Pace, Stop, User, Workload};

/// Users, and actions, that are tried; a longer list is taken on trust.
const MOST_TRIED: usize = 16;

/// Finds the proxy's address.
pub(super) async fn resolve(proxy: &str) -> Result<SocketAddr, String> {
    let mut found = tokio::net::lookup_host(proxy)
        .await
        .map_err(|error| format!("--proxy {proxy}: expected HOST:PORT that can be resolved: {error}"))?;
    found.next().ok_or_else(|| format!("--proxy {proxy}: the name has no address"))
}

/// Sends one request of each action, and one as each user; all must go well.
pub(super) async fn probe(
    workload: &Workload,
    proxy: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
) -> Result<(), String> {
    let net = TcpConnector::new(proxy, tls).map_err(|error| format!("no timer: {error}"))?;
    let users: Vec<Option<&User>> = match workload.users.as_slice() {
        [] => vec![None],
        users => users.iter().take(MOST_TRIED).map(Some).collect(),
    };
    let all = || workload.mix.actions().take(MOST_TRIED);
    let first_user = all().map(|action| (action, users[0]));
    let first_action = all().take(1).flat_map(|action| users[1..].iter().map(move |user| (action, *user)));
    for (action, user) in first_user.chain(first_action) {
        let mut action = action.clone();
        // A tunnel that opens is enough, but for TLS, of which the handshake may fail.
        if action.is_tunnel() && !matches!(action.kind, ActionKind::Tls { .. }) {
            action.kind = ActionKind::Connect;
        }
        let target = action.target_for("ID");
        one(workload, action, user, &net).await.map_err(|failure| explain(failure, proxy, user, &target))?;
    }
    Ok(())
}

async fn one(workload: &Workload, action: Action, user: Option<&User>, net: &TcpConnector) -> Outcome {
    let pace = Pace::Closed { clients: 1, ramp_up: Default::default(), think: Default::default() };
    let one = Stop { requests: Some(1), after: None };
    let mut probe = Workload::new(workload.seed, pace, one, action);
    probe.id_prefix = format!("p{}", workload.id_prefix);
    probe.timeout = workload.timeout;
    probe.users = user.cloned().into_iter().collect();
    let mut outcome: Outcome = Ok(());
    let mut observe = |event| {
        if let RequestEvent::Ended(done) = event {
            outcome = done.outcome;
        }
    };
    drive(&probe, Shard::WHOLE, net, &OpenTunnels::default(), &mut observe, std::future::pending()).await;
    outcome
}

fn explain(failure: Failure, proxy: SocketAddr, user: Option<&User>, target: &str) -> String {
    match (failure.kind, failure.phase, user) {
        (kind, Phase::Connect, _) => format!("can't connect to the proxy at {proxy}: {kind}; is it running there?"),
        (FailureKind::Status(407), _, None) => {
            format!("the proxy at {proxy} asks for credentials (407): give --user NAME:PASSWORD")
        }
        (FailureKind::Status(407), _, Some(user)) => {
            format!("the proxy at {proxy} refuses user `{}` (407): check --user and --users", user.name())
        }
        (FailureKind::Malformed, ..) => format!("what listens at {proxy} does not answer as an HTTP proxy"),
        (FailureKind::Tls, ..) => format!(
            "TLS with {target} failed: its certificate is not trusted for that name (--ca FILE, --insecure), or no TLS is \
             spoken there"
        ),
        _ => format!(
            "a first request through {proxy} to {target} failed: {failure}; check the target and the proxy's upstreams, \
             or start all the same with --no-probe"
        ),
    }
}
