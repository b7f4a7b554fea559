//! Copies byte streams, closes them in order, and waits.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::sleep;

/// Waits for `time`, and returns at once where `time` is zero.
///
/// Tokio's own `sleep` takes up to a millisecond even for zero, since its timer counts in milliseconds.
pub async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

/// Ends our side of `stream` in order (FIN), then reads what the peer still sends.
///
/// Closing a socket with unread bytes would reset it, and the reset could overtake what was written last.
pub async fn close_in_order<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    /// A peer that sends more than this after our end is cut off.
    const MAX_BYTES_READ: u64 = 1 << 20;
    if stream.shutdown().await.is_ok() {
        // The connection is over whether reading ends or fails.
        let _ = tokio::io::copy(&mut stream.take(MAX_BYTES_READ), &mut tokio::io::sink()).await;
        // A session within the connection may have ended before the connection.
        let _ = stream.read(&mut [0]).await;
    }
}

/// Copies bytes both ways. The end of one side is passed on to the other; a failure of either side ends both.
pub(crate) async fn relay<A, B>(a: A, b: B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_a, mut to_a) = tokio::io::split(a);
    let (mut from_b, mut to_b) = tokio::io::split(b);
    tokio::try_join!(copy_to_end(&mut from_a, &mut to_b), copy_to_end(&mut from_b, &mut to_a))?;
    Ok(())
}

/// Copies bytes one way until `from` ends, then ends `to`.
pub(crate) async fn copy_to_end<R, W>(from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
    }
}
