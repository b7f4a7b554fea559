//! An open tunnel: bytes both ways until it ends, then its verdict and its figures.

use std::sync::Arc;

use crate::env::{Early, Env, RelayEnd, RelayLimits};
use crate::leg::Leg;
use crate::life::Place;
use crate::pool::Lease;
use crate::proxy::Shared;
use crate::request::Request;

/// Everything a tunnel holds on to.
pub(crate) struct Tunnel<E: Env> {
    pub(crate) client: E::Stream,
    pub(crate) leg: Leg<E::Stream>,
    pub(crate) early: Early,
    pub(crate) limits: RelayLimits,
    pub(crate) request: Request<E>,
    pub(crate) lease: Lease<E>,
    pub(crate) place: Place,
}

/// Runs it to its end.
pub(crate) async fn run<E: Env>(shared: Arc<Shared<E>>, tunnel: Tunnel<E>) {
    let Tunnel { client, leg, early, limits, mut request, lease, place } = tunnel;
    let stop = shared.life.reset.clone();
    let traffic = Arc::clone(&request.traffic);
    let end = match leg {
        Leg::Plain(upstream) => shared.env.relay(client, upstream, early, limits, traffic, stop).await,
        Leg::Tls(upstream) => shared.env.relay(client, *upstream, early, limits, traffic, stop).await,
    };
    let (_, down) = request.traffic.read();
    lease.tunnel_ended(down > 0, end == RelayEnd::UpstreamReset);
    if end == RelayEnd::Stopped {
        shared.life.count_reset();
    }
    request.ended(end);
    drop(request);
    drop(lease);
    drop(place);
}
