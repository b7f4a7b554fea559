//! A tunnel with a fault in its reply, in its bytes, or in both.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use mock_upstreams::journal::Outcome;
use mock_upstreams::stream::finish;
use mock_upstreams::upstream::tunnel::{dial, unreachable};
use mock_upstreams::{Asked, Client, Target};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream};
use tokio::time::timeout;

use super::play::{reset, say};
use super::shape;
use crate::effect::reply::{Part, Reply, Then};
use crate::effect::tunnel::{Effects, Over};
use crate::io::Duplex;

/// Bytes that may wait between a target and the shaping.
const BETWEEN: usize = 64 * 1024;
/// How long a glued reply waits for the target's first bytes.
const FIRST_BYTES: Duration = Duration::from_secs(1);

/// Dials, says what `reply` says, and carries bytes under `effects` to the end.
pub(crate) async fn serve<S, C, F, T>(
    mut client: Client<S>,
    asked: &Asked,
    reply: Reply,
    effects: Effects,
    connect: &C,
    upstream: &str,
) where
    S: Duplex,
    C: Fn(Target) -> F,
    F: Future<Output = io::Result<T>>,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(leg) = dial(asked, connect).await else {
        return unreachable(client).await;
    };
    let (mut far, near) = tokio::io::duplex(BETWEEN);
    let target = async {
        let ended = leg.run(&mut far, upstream).await;
        if ended.is_err() {
            // The target failed; the client gets to know by a reset.
            return Over::Reset;
        }
        std::future::pending().await
    };
    let shaped = async { said(&mut client, &reply, near, effects).await };
    let ended = tokio::select! {
        biased;
        ended = shaped => ended,
        over = target => Ok(Some(over)),
    };
    match ended {
        Ok(None) => {
            if let Some(record) = client.record() {
                record.outcome = Outcome::Completed;
            }
        }
        Ok(Some(over)) => {
            if let Some(record) = client.record() {
                record.outcome = Outcome::Faulted;
            }
            match over {
                Over::Cut => finish(&mut client).await,
                Over::Reset => reset(client),
                Over::Closed => {}
            }
        }
        // The client is gone; the record says how far it came.
        Err(_) => {}
    }
}

async fn said<S: Duplex>(
    client: &mut Client<S>,
    reply: &Reply,
    mut near: DuplexStream,
    effects: Effects,
) -> io::Result<Option<Over>> {
    if let Some(record) = client.record() {
        record.status = reply.status;
    }
    if reply.then == Then::TunnelGlued {
        let mut first = BytesMut::with_capacity(1024);
        // A target that waits for the client gets it without any.
        let _ = timeout(FIRST_BYTES, near.read_buf(&mut first)).await;
        let mut packet = BytesMut::new();
        for part in &reply.say {
            if let Part::Write(bytes) = part {
                packet.extend_from_slice(bytes);
            }
        }
        if let Some(record) = client.record() {
            record.down.add(&first);
        }
        packet.extend_from_slice(&first);
        client.write_raw(&packet).await?;
    } else {
        say(client, &reply.say).await?;
    }
    shape::carry(client, near, effects).await
}
