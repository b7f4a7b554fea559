//! Makes the list of the tunnels that are open.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::client::requests::millis;
use crate::client::statistics::pretty;
use crate::context::{Carriage, Context};
use crate::env::Env;
use crate::event::RequestId;

/// Tunnels that the list holds at most.
const MAX_LISTED: usize = 1000;

/// Tunnels that are looked at before others have their turn.
pub(crate) const TURN: usize = 256;

/// The tunnels that are open, the oldest first, and how many more there are.
pub(crate) async fn list<E: Env>(context: &Context<E>) -> String {
    let mut open = 0;
    let mut listed = BTreeMap::new();
    for tunnel in context.connections.tunnels.open() {
        open += 1;
        listed.insert(tunnel.request, tunnel);
        if listed.len() > MAX_LISTED {
            listed.pop_last();
        }
        if open % TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
    let tunnels: Vec<_> = listed.values().map(|tunnel| TunnelOut::of(tunnel)).collect();
    pretty(&Page { open, more: open - tunnels.len(), tunnels }) + "\n"
}

#[derive(Serialize)]
struct Page<'a> {
    open: usize,
    /// How many of them are not listed.
    more: usize,
    tunnels: Vec<TunnelOut<'a>>,
}

/// What is told of a tunnel; names as in the log.
#[derive(Serialize)]
struct TunnelOut<'a> {
    request: RequestId,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    /// The upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    target: &'a str,
    /// Since its upstream was asked or has opened it.
    age_ms: f64,
    /// Since a byte was last delivered.
    idle_ms: f64,
    bytes_up: u64,
    bytes_down: u64,
}

impl<'a> TunnelOut<'a> {
    fn of(tunnel: &'a Carriage) -> Self {
        let (bytes_up, bytes_down) = tunnel.read();
        TunnelOut {
            request: tunnel.request,
            client: tunnel.client.to_string(),
            user: tunnel.user.as_deref(),
            name: tunnel.upstream.as_ref().map(|upstream| &*upstream.name),
            target: &tunnel.target,
            age_ms: millis(tunnel.age()),
            idle_ms: millis(tunnel.idle()),
            bytes_up,
            bytes_down,
        }
    }
}
