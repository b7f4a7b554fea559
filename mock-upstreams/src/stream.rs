//! What all doubles do with byte streams: copy them, end them in order, wait.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::sleep;

/// Waits for `time`. Tokio's own `sleep` takes up to a millisecond even for zero, the grain of its timer.
pub async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

/// Ends our side in order and reads what the client still sends, so that no reset overtakes what was written.
pub async fn finish<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    /// More than this a client does not get to send behind our end.
    const MOST: u64 = 1 << 20;
    if stream.shutdown().await.is_ok() {
        // A failure to read is as good an end as any.
        let _ = tokio::io::copy(&mut stream.take(MOST), &mut tokio::io::sink()).await;
    }
}

/// Copies both ways; an end is passed on, a failure of either side ends both.
pub(crate) async fn relay<A, B>(a: A, b: B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_a, mut to_a) = tokio::io::split(a);
    let (mut from_b, mut to_b) = tokio::io::split(b);
    tokio::try_join!(pump(&mut from_a, &mut to_b), pump(&mut from_b, &mut to_a))?;
    Ok(())
}

pub(crate) async fn pump<R, W>(from: &mut R, to: &mut W) -> io::Result<()>
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
