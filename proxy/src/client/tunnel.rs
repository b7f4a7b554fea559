//! Runs one open tunnel until it ends, then reports its end and its bytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::client::request::Request;
use crate::context::ConnectionSlot;
use crate::context::Context;
use crate::env::{Early, Env, RelayEnd, RelayLimits, Relayed, relay_buffered};
use crate::upstream::failed::told;
use crate::upstream::leg::Leg;
use crate::upstream::pool::Lease;

/// Everything a tunnel holds on to.
pub(crate) struct Tunnel<E: Env> {
    pub(crate) client: E::Stream,
    pub(crate) leg: Leg<E::Stream>,
    pub(crate) early: Early,
    pub(crate) limits: RelayLimits,
    pub(crate) request: Request<E>,
    pub(crate) lease: Lease<E>,
    pub(crate) slot: ConnectionSlot,
}

/// Runs the tunnel to its end.
///
/// This is no `async fn`, and it takes nothing apart: either would keep room for the parts twice, and there are many
/// idle tunnels.
pub(crate) fn run<E: Env>(context: Arc<Context<E>>, mut tunnel: Tunnel<E>) -> impl Future<Output = ()> + Send {
    let (stop, traffic) = (context.connections.reset.clone(), Arc::clone(&tunnel.request.traffic));
    async move {
        let (client, early, limits) = (tunnel.client, tunnel.early, tunnel.limits);
        // Boxed, so that an idle tunnel holds one of these futures instead of room for both.
        let relay: Pin<Box<dyn Future<Output = Relayed> + Send + '_>> = match tunnel.leg {
            Leg::Plain(upstream) => Box::pin(context.env.relay(client, upstream, early, limits, traffic, stop)),
            // TLS has to be seen by us; only two plain connections can be joined by the environment.
            Leg::Tls(upstream) => Box::pin(relay_buffered(client, *upstream, early, limits, traffic, stop)),
        };
        let Relayed { end, cause } = relay.await;
        let cause = cause.map(told);
        if end == RelayEnd::UpstreamReset {
            tunnel.lease.broke_off(end.as_str(), cause.clone());
        }
        if let Some(target) = tunnel.request.tunnel_target() {
            let (_, down) = tunnel.request.traffic.read();
            let ended_first = tunnel.request.traffic.upstream_ended_first.load(Ordering::Relaxed);
            let by_upstream = ended_first || end == RelayEnd::UpstreamReset;
            tunnel.lease.tunnel_ended(target, down > 0, by_upstream, cause.clone());
        }
        if end == RelayEnd::Stopped {
            context.connections.count_reset();
        }
        tunnel.request.ended(end, cause);
        // The order matters: an observer that hears that the proxy is empty must have heard of every request.
        drop(tunnel.request);
        drop(tunnel.lease);
        drop(tunnel.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::os::Os;

    fn size<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_an_idle_tunnel_is_small() {
        let bytes = size(run::<Os>);
        assert!(bytes <= 640, "a tunnel's task has grown to {bytes} bytes");
    }
}
