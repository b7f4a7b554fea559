//! Carries the bytes of a tunnel under the effects that faults have on them.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mock_upstreams::stream::pause;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::effect::tunnel::{Effects, Flow, Over, Stop};

/// Why a way came to an end before both had.
#[derive(Debug)]
enum Halt {
    Failed(io::Error),
    Over(Over),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Halt::Failed(error)
    }
}

/// Carries bytes between `client` and `target` under `effects`. `None`: both ways ended by themselves.
///
/// # Errors
/// Either side failed.
pub(crate) async fn carry<C, T>(client: &mut C, target: T, effects: Effects) -> io::Result<Option<Over>>
where
    C: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Effects { up, down, end } = effects;
    let (from_client, to_client) = tokio::io::split(client);
    let (from_target, to_target) = tokio::io::split(target);
    let both = async { tokio::try_join!(flow(from_client, to_target, up), flow(from_target, to_client, down)) };
    let end = async {
        match end {
            Some((time, over)) => {
                sleep(time).await;
                over
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        over = end => Ok(Some(over)),
        ended = both => match ended {
            Ok(_) => Ok(None),
            Err(Halt::Over(over)) => Ok(Some(over)),
            Err(Halt::Failed(error)) => Err(error),
        },
    }
}

const CHUNK: u64 = 4096;
/// Chunks that may be on their way: what a delay needs to be no limit of bytes per second.
const IN_FLIGHT: usize = 256;

async fn flow<R, W>(mut from: R, mut to: W, mut flow: Flow) -> Result<(), Halt>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (sender, mut receiver) = mpsc::channel::<(Instant, BytesMut)>(IN_FLIGHT);
    let (delay, mut jitter, stop) = (flow.delay, flow.jitter.take(), flow.stop);
    let read = async {
        // Moved here, so that the channel closes when reading is done.
        let sender = sender;
        let mut left = stop.map_or(u64::MAX, |(after, _)| after);
        while left > 0 {
            let mut chunk = BytesMut::zeroed(CHUNK.min(left) as usize);
            let count = from.read(&mut chunk).await?;
            if count == 0 {
                return Ok(None);
            }
            chunk.truncate(count);
            left -= count as u64;
            let jitter = jitter.as_mut().map_or(Duration::ZERO, |(most, draw)| draw.span(*most));
            // The queue keeps the order: what is due earlier than its forerunner waits for it.
            let due = Instant::now() + delay + jitter;
            if sender.send((due, chunk)).await.is_err() {
                return Ok(None);
            }
        }
        Ok(stop.map(|(_, stop)| stop))
    };
    let write = async {
        while let Some((due, mut chunk)) = receiver.recv().await {
            pause(due.saturating_duration_since(Instant::now())).await;
            if let Some(flips) = &mut flow.flips {
                flips.apply(&mut chunk);
            }
            if let Some(again) = &mut flow.again {
                chunk = again.apply(chunk);
            }
            deliver(&mut to, chunk.freeze(), &flow).await?;
        }
        Ok::<_, Halt>(())
    };
    let (stop, ()) = tokio::try_join!(read, write)?;
    match stop {
        None => {
            pause(flow.late_end).await;
            to.shutdown().await?;
        }
        Some(Stop::HalfClose) => {
            to.shutdown().await?;
            tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
        }
        Some(Stop::Stall(hold)) => {
            sleep(hold).await;
            return Err(Halt::Over(Over::Closed));
        }
        Some(Stop::Over(over)) => return Err(Halt::Over(over)),
    }
    Ok(())
}

async fn deliver<W: AsyncWrite + Unpin>(to: &mut W, mut bytes: Bytes, flow: &Flow) -> io::Result<()> {
    while !bytes.is_empty() {
        let length = flow.slice.map_or(bytes.len(), |slice| slice.get().min(bytes.len()));
        let piece = bytes.split_to(length);
        to.write_all(&piece).await?;
        to.flush().await?;
        if let Some(rate) = flow.rate {
            // What has been written has to be paid for before anything follows.
            sleep(Duration::from_nanos(1_000_000_000_u64.saturating_mul(length as u64) / rate)).await;
        }
        if flow.slice.is_some() {
            pause(flow.gap).await;
        }
    }
    Ok(())
}
