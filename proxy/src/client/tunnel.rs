//! Runs one open tunnel until it ends, then reports its end and its bytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;

use crate::client::connection::OpenedTunnel;
use crate::client::request::Request;
use crate::context::Context;
use crate::env::{Env, RelayEnd, Relayed, relay_buffered};
use crate::upstream::failed::told;
use crate::upstream::leg::Leg;
use crate::upstream::pool::Lease;

/// Everything a tunnel holds on to. There are many idle ones, so the relay is boxed: the task holds one of the two futures
/// instead of room for both.
///
/// The order matters: an observer that hears that the proxy is empty must have heard of every request.
pub(crate) struct Tunnel<E: Env> {
    relay: Pin<Box<dyn Future<Output = Relayed> + Send>>,
    request: Request<E>,
    lease: Lease<E>,
}

impl<E: Env> Tunnel<E> {
    /// Joins the client's connection to what was opened for it.
    pub(crate) fn new(context: &Context<E>, client: E::Stream, opened: OpenedTunnel<E>) -> Self {
        let OpenedTunnel { leg, early, limits, request, lease } = opened;
        request.becomes_tunnel();
        let (stop, traffic) = (context.connections.reset.clone(), request.carried.clone());
        let relay: Pin<Box<dyn Future<Output = Relayed> + Send>> = match leg {
            Leg::Plain(upstream) => Box::pin(context.env.relay(client, upstream, early, limits, traffic, stop)),
            // TLS has to be seen by us; only two plain connections can be joined by the environment.
            Leg::Tls(upstream) => Box::pin(relay_buffered(client, *upstream, early, limits, traffic, stop)),
        };
        Tunnel { relay, request, lease }
    }

    /// Runs the tunnel to its end.
    pub(crate) async fn run(&mut self, context: &Context<E>) {
        let Relayed { end, cause } = self.relay.as_mut().await;
        let cause = cause.map(told);
        if end == RelayEnd::UpstreamReset {
            self.lease.broke_off(end.as_str(), cause.clone());
        }
        if let Some(target) = self.request.tunnel_target() {
            let (_, down) = self.request.carried.read();
            let ended_first = self.request.carried.upstream_ended_first.load(Ordering::Relaxed);
            let by_upstream = ended_first || end == RelayEnd::UpstreamReset;
            self.lease.tunnel_ended(target, down > 0, by_upstream, cause.clone());
        }
        if end == RelayEnd::Stopped && !self.request.carried.is_closed() {
            context.connections.count_reset();
        }
        self.request.ended(end, cause);
    }
}
