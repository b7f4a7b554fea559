//! Accepts clients: a place each, an answer even above the limit, and no spinning when descriptors run out.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::client::session;
use crate::context::ConnectionSlot;
use crate::context::Context;
use crate::env::{Env, Listener};
use crate::event::Event;

/// Connections answered above the limit, so that health checks and statistics work and the others hear 503.
const RESERVE: usize = 16;

/// How long accepting rests when we have run out of something: the listener stays readable, so trying again at once
/// would spin.
const REST: Duration = Duration::from_millis(100);

/// Accepted at most once accepting is to stop: whoever stands in the kernel's queue by then has been let in.
const LAST: usize = 4096;

/// Accepts until accepting is to stop and nobody waits any more.
pub(crate) async fn accept<E: Env>(context: Arc<Context<E>>, mut listener: E::Listener) {
    let most = context.max_connections;
    loop {
        tokio::select! {
            biased;
            () = context.connections.closing.wait() => break,
            () = accept_one(&context, &mut listener, most) => {}
        }
    }
    // Lets the runtime hear of those that arrived since it last looked.
    tokio::task::yield_now().await;
    // "Not now" has to mean that the queue is empty, not that this task has run for long enough.
    let last = tokio::task::unconstrained(async {
        for _ in 0..LAST {
            accept_one(&context, &mut listener, most).await;
        }
    });
    tokio::select! {
        biased;
        () = last => {}
        () = std::future::ready(()) => {}
    }
}

async fn accept_one<E: Env>(context: &Arc<Context<E>>, listener: &mut E::Listener, most: usize) {
    context.connections.wait_for_fewer(most + RESERVE).await;
    match listener.accept().await {
        Ok((stream, peer)) => {
            let overloaded = context.connections.open() >= most;
            if let Some(slot) = context.connections.enter(most + RESERVE) {
                spawn(context, stream, peer, slot, overloaded);
            }
        }
        // One client that left before it was let in: there is nothing to rest from.
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
        Err(error) => {
            context.pool.emit(&Event::AcceptFailed { error: &error.to_string() });
            tokio::time::sleep(REST).await;
        }
    }
}

fn spawn<E: Env>(
    context: &Arc<Context<E>>,
    stream: E::Stream,
    peer: SocketAddr,
    slot: ConnectionSlot,
    overloaded: bool,
) {
    context.env.spawn(session::serve(Arc::clone(context), stream, peer, slot, overloaded));
}
