//! Serves a tunnel that has a fault in its reply, in its bytes, or in both.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use mock_upstreams::journal::Outcome;
use mock_upstreams::stream::close_in_order;
use mock_upstreams::upstream::tunnel::{reach, unreachable};
use mock_upstreams::{Client, ProxyRequest, Target};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream};
use tokio::time::timeout;

use super::play::{reset, write_steps};
use super::shape;
use crate::effect::reply::{Reply, Step, Then};
use crate::effect::tunnel::{TunnelEffects, TunnelEnd};
use crate::io::Duplex;

/// The most bytes that wait between the target and the faults.
const PIPE_BYTES: usize = 64 * 1024;
/// How long a glued reply waits for the target's first bytes.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(1);

/// Reaches the target, writes `reply`, and carries bytes under `effects` until the tunnel ends.
pub(super) async fn serve<S, C, F, T>(
    mut client: Client<S>,
    request: &ProxyRequest,
    reply: Reply,
    effects: TunnelEffects,
    connect: &C,
    upstream: &str,
) where
    S: Duplex,
    C: Fn(Target) -> F,
    F: Future<Output = io::Result<T>>,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(target) = reach(request, connect).await else {
        return unreachable(client).await;
    };
    let (mut far, near) = tokio::io::duplex(PIPE_BYTES);
    let target_side = async {
        let ended = target.run(&mut far, upstream).await;
        if ended.is_err() {
            // The target failed. The client learns of it by a reset.
            return TunnelEnd::Reset;
        }
        std::future::pending().await
    };
    let client_side = async { answer_and_carry(&mut client, &reply, near, effects).await };
    let ended = tokio::select! {
        biased;
        ended = client_side => ended,
        end = target_side => Ok(Some(end)),
    };
    match ended {
        Ok(None) => {
            if let Some(record) = client.record() {
                record.outcome = Outcome::Completed;
            }
            close_in_order(&mut client).await;
        }
        Ok(Some(end)) => {
            if let Some(record) = client.record() {
                record.outcome = Outcome::Faulted;
            }
            match end {
                TunnelEnd::Fin => close_in_order(&mut client).await,
                TunnelEnd::Reset => reset(client),
                TunnelEnd::Close => {}
            }
        }
        // The client is gone. The record says how far the tunnel came.
        Err(_) => {}
    }
}

/// Writes the reply, then carries bytes. The result is that of [`shape::carry`].
async fn answer_and_carry<S: Duplex>(
    client: &mut Client<S>,
    reply: &Reply,
    mut near: DuplexStream,
    effects: TunnelEffects,
) -> io::Result<Option<TunnelEnd>> {
    if let Some(record) = client.record() {
        record.status = reply.status;
    }
    if reply.then == Then::TunnelGlued {
        let mut first = BytesMut::with_capacity(1024);
        // A target that waits for the client sends no first bytes; then the reply goes out without any.
        let _ = timeout(FIRST_BYTES_TIMEOUT, near.read_buf(&mut first)).await;
        let mut packet = BytesMut::new();
        for step in &reply.steps {
            if let Step::Write(bytes) = step {
                packet.extend_from_slice(bytes);
            }
        }
        if let Some(record) = client.record() {
            record.down.add(&first);
        }
        packet.extend_from_slice(&first);
        client.write_raw(&packet).await?;
    } else {
        write_steps(client, &reply.steps).await?;
    }
    shape::carry(client, near, effects).await
}
