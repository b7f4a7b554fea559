//! Carries the bytes of a tunnel, and does to them what faults want.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mock_upstreams::stream::pause;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::effect::tunnel::{Cutoff, DirectionEffects, TunnelEffects, TunnelEnd};

/// Why both directions stop before both have ended by themselves.
#[derive(Debug)]
enum Halt {
    /// A stream failed.
    Failed(io::Error),
    /// A fault ended the tunnel.
    Ended(TunnelEnd),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Halt::Failed(error)
    }
}

/// Carries bytes between `client` and `target` under `effects`. `None` means that both directions ended by themselves, and
/// an end that a fault ended the tunnel.
///
/// # Errors
/// Either side failed.
pub(super) async fn carry<C, T>(client: &mut C, target: T, effects: TunnelEffects) -> io::Result<Option<TunnelEnd>>
where
    C: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let TunnelEffects { up, down, end } = effects;
    let (from_client, to_client) = tokio::io::split(client);
    let (from_target, to_target) = tokio::io::split(target);
    let both = async {
        tokio::try_join!(carry_one_way(from_client, to_target, up), carry_one_way(from_target, to_client, down))
    };
    let timed_end = async {
        match end {
            Some((time, end)) => {
                sleep(time).await;
                end
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        end = timed_end => Ok(Some(end)),
        ended = both => match ended {
            Ok(_) => Ok(None),
            Err(Halt::Ended(end)) => Ok(Some(end)),
            Err(Halt::Failed(error)) => Err(error),
        },
    }
}

/// The most bytes of one chunk.
const CHUNK_BYTES: u64 = 4096;
/// The most chunks that are on their way at once. With fewer of them a delay would also limit the bytes per second.
const CHUNKS_IN_FLIGHT: usize = 256;

async fn carry_one_way<R, W>(mut from: R, mut to: W, mut effects: DirectionEffects) -> Result<(), Halt>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (sender, mut receiver) = mpsc::channel::<(Instant, BytesMut)>(CHUNKS_IN_FLIGHT);
    let (delay, mut jitter, cutoff) = (effects.delay, effects.jitter.take(), effects.cutoff);
    let read = async {
        // The sender lives in this block, so that the channel closes when reading is done.
        let sender = sender;
        let mut left = cutoff.map_or(u64::MAX, |(after, _)| after);
        while left > 0 {
            let mut chunk = BytesMut::zeroed(CHUNK_BYTES.min(left) as usize);
            let count = from.read(&mut chunk).await?;
            if count == 0 {
                return Ok(None);
            }
            chunk.truncate(count);
            left -= count as u64;
            let jitter = jitter.as_mut().map_or(Duration::ZERO, |(most, draw)| draw.duration(*most));
            // The channel keeps the order: a chunk that is due earlier than the one before it waits for that one.
            let due = Instant::now() + delay + jitter;
            if sender.send((due, chunk)).await.is_err() {
                return Ok(None);
            }
        }
        Ok(cutoff.map(|(_, cutoff)| cutoff))
    };
    let write = async {
        while let Some((due, mut chunk)) = receiver.recv().await {
            pause(due.saturating_duration_since(Instant::now())).await;
            if let Some(flips) = &mut effects.flips {
                flips.apply(&mut chunk);
            }
            if let Some(repeated) = &mut effects.repeated {
                chunk = repeated.apply(chunk);
            }
            write_shaped(&mut to, chunk.freeze(), &effects).await?;
        }
        Ok::<_, Halt>(())
    };
    let (cutoff, ()) = tokio::try_join!(read, write)?;
    match cutoff {
        None => {
            pause(effects.late_end).await;
            to.shutdown().await?;
        }
        Some(Cutoff::HalfClose) => {
            to.shutdown().await?;
            tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
        }
        Some(Cutoff::Stall(hold)) => {
            sleep(hold).await;
            return Err(Halt::Ended(TunnelEnd::Close));
        }
        Some(Cutoff::Tunnel(end)) => return Err(Halt::Ended(end)),
    }
    Ok(())
}

/// Writes `bytes` in slices and at the rate that `effects` ask for.
async fn write_shaped<W: AsyncWrite + Unpin>(
    to: &mut W,
    mut bytes: Bytes,
    effects: &DirectionEffects,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let length = effects.slice.map_or(bytes.len(), |slice| slice.get().min(bytes.len()));
        let piece = bytes.split_to(length);
        to.write_all(&piece).await?;
        to.flush().await?;
        if let Some(rate) = effects.rate {
            // The next bytes wait until the rate allows for those that were written.
            sleep(Duration::from_nanos(1_000_000_000_u64.saturating_mul(length as u64) / rate)).await;
        }
        if effects.slice.is_some() {
            pause(effects.gap).await;
        }
    }
    Ok(())
}
