//! Accepts clients: a place each, an answer even above the limit, and no spinning when descriptors run out.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::env::{Env, Listener};
use crate::event::Event;
use crate::life::Place;
use crate::proxy::Shared;
use crate::session;

/// Connections answered above the limit, so that health checks and statistics work and the others hear 503.
const RESERVE: usize = 16;

/// How long accepting rests when we have run out of something: the listener stays readable, so trying again at once
/// would spin.
const REST: Duration = Duration::from_millis(100);

/// Accepted at most once accepting is to stop: whoever stands in the kernel's queue by then has been let in.
const LAST: usize = 4096;

/// Accepts until accepting is to stop and nobody waits any more.
pub(crate) async fn accept<E: Env>(shared: Arc<Shared<E>>, mut listener: E::Listener) {
    let most = shared.max_connections;
    loop {
        tokio::select! {
            biased;
            () = shared.life.closing.wait() => break,
            () = accept_one(&shared, &mut listener, most) => {}
        }
    }
    // Lets the runtime hear of those that arrived since it last looked.
    tokio::task::yield_now().await;
    // "Not now" has to mean that the queue is empty, not that this task has run for long enough.
    let last = tokio::task::unconstrained(async {
        for _ in 0..LAST {
            accept_one(&shared, &mut listener, most).await;
        }
    });
    tokio::select! {
        biased;
        () = last => {}
        () = std::future::ready(()) => {}
    }
}

async fn accept_one<E: Env>(shared: &Arc<Shared<E>>, listener: &mut E::Listener, most: usize) {
    shared.life.wait_for_fewer(most + RESERVE).await;
    match listener.accept().await {
        Ok((stream, peer)) => {
            let overloaded = shared.life.open() >= most;
            if let Some(place) = shared.life.enter(most + RESERVE) {
                spawn(shared, stream, peer, place, overloaded);
            }
        }
        // One client that left before it was let in: there is nothing to rest from.
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
        Err(error) => {
            shared.pool.tell(&Event::AcceptFailed { error: &error.to_string() });
            tokio::time::sleep(REST).await;
        }
    }
}

fn spawn<E: Env>(shared: &Arc<Shared<E>>, stream: E::Stream, peer: SocketAddr, place: Place, overloaded: bool) {
    shared.env.spawn(session::serve(Arc::clone(shared), stream, peer, place, overloaded));
}
