//! Accepts clients within the connection limit, and keeps a reserve above it for health checks.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::client::connection::Entrance;
use crate::client::session;
use crate::context::ConnectionSlot;
use crate::context::Context;
use crate::env::{Env, Lack, Listener};
use crate::event::Event;

/// How many connections are answered above the limit, so that health checks and statistics work and other clients get a
/// 503.
const RESERVE: usize = 16;

/// How many are answered above that on the listener of our own pages, so that no crowd of clients keeps a health check waiting there.
const ADMIN_RESERVE: usize = 16;

/// How long accepting rests when we have run out of something: the listener stays readable, so trying again at once
/// would spin.
const REST: Duration = Duration::from_millis(100);

/// How many connections are still accepted once accepting is to stop: those in the kernel's queue count as let in.
const LAST: usize = 4096;

/// Accepts until accepting is to stop and the kernel's queue is empty, or until the listener was handed over: another
/// process has the same socket then, and the queue is left to it.
pub(crate) async fn accept<E: Env>(context: Arc<Context<E>>, mut listener: E::Listener, entrance: Entrance) {
    let connections = &context.connections;
    let most = context.max_connections;
    // Registered once, and not for each client anew.
    let (mut handed_over, mut closing) = (pin!(connections.handed_over.wait()), pin!(connections.closing.wait()));
    loop {
        tokio::select! {
            biased;
            () = &mut handed_over => return,
            () = &mut closing => break,
            () = accept_one(&context, &mut listener, (most, entrance)) => {}
        }
    }
    // The runtime must learn of the connections that arrived since it last polled.
    tokio::task::yield_now().await;
    // `Pending` has to mean that the queue is empty, not that tokio wants this task to yield.
    let last = tokio::task::unconstrained(async {
        for _ in 0..LAST {
            accept_one(&context, &mut listener, (most, entrance)).await;
        }
    });
    tokio::select! {
        biased;
        () = last => {}
        () = std::future::ready(()) => {}
    }
}

async fn accept_one<E: Env>(
    context: &Arc<Context<E>>,
    listener: &mut E::Listener,
    (most, entrance): (usize, Entrance),
) {
    let reserve = match entrance {
        Entrance::Clients => RESERVE,
        Entrance::Admin => RESERVE + ADMIN_RESERVE,
    };
    context.connections.wait_for_fewer(most + reserve).await;
    match listener.accept().await {
        Ok((stream, peer)) => {
            let overloaded = context.connections.open() >= most;
            // The other listener may have let somebody in meanwhile. One too many is let in then: it must not be ended without a word.
            let slot = context.connections.enter();
            spawn(context, stream, (peer, entrance), slot, overloaded);
        }
        // Only this client left before it was accepted, so there is no reason to rest.
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
        Err(error) => {
            if Lack::of(&error) == Some(Lack::Descriptors) {
                context.pool.give_way();
            }
            context.pool.emit(&Event::AcceptFailed { reason: Lack::reason(&error), error: &error.to_string() });
            tokio::time::sleep(REST).await;
        }
    }
}

fn spawn<E: Env>(
    context: &Arc<Context<E>>,
    stream: E::Stream,
    client: (SocketAddr, Entrance),
    slot: ConnectionSlot,
    overloaded: bool,
) {
    context.env.spawn(session::serve(Arc::clone(context), stream, client, slot, overloaded));
}
