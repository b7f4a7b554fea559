//! Asks a running proxy through its control socket, for `proxy healthcheck` and `proxy reload`.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Answer, MAX_ANSWER, MAX_REQUEST, Recorded, Request};

/// Asks the proxy behind the control socket at `path`, and waits for its answer for at most `patience`.
///
/// # Errors
/// A sentence that says why there is no answer, or that the proxy could not answer.
pub async fn ask(path: &Path, request: Request, patience: Duration) -> Result<Answer, String> {
    let answer = timeout(patience, exchange(path, request)).await;
    let answer = answer.map_err(|_| format!("{}: the proxy did not answer in time", path.display()))?;
    read_answer(path, &answer.map_err(|error| unreachable(path, &error, "--control-socket names another one"))?)
}

/// Has the proxy behind the control socket at `path` write the last events to what `open` opens, once it is known that there are some.
/// Waits for as long as some come within `patience`.
///
/// # Errors
/// A sentence that says why there are none, or why they are not whole.
pub async fn record<W: io::Write>(
    path: &Path,
    open: impl FnOnce() -> io::Result<W>,
    patience: Duration,
) -> Result<Recorded, String> {
    let late = || format!("{}: the proxy did not answer in time", path.display());
    let begun = timeout(patience, async {
        let mut stream = UnixStream::connect(path).await?;
        send_request(&mut stream, Request::Record {}).await?;
        let (mut stream, mut line) = (BufReader::new(stream), Vec::new());
        (&mut stream).take(MAX_ANSWER as u64).read_until(b'\n', &mut line).await?;
        Ok((stream, line))
    });
    let begun: io::Result<_> = begun.await.map_err(|_| late())?;
    let (mut stream, line) = begun.map_err(|error| unreachable(path, &error, "--control-socket names another one"))?;
    let recorded = match read_answer(path, &line)? {
        Answer::Recorded(recorded) => recorded,
        answer => return Err(format!("{}: the proxy answered another question: {answer:?}", path.display())),
    };
    let mut out = open().map_err(|error| error.to_string())?;
    let mut left = recorded.bytes;
    while left > 0 {
        let some = timeout(patience, stream.fill_buf()).await.map_err(|_| late())?;
        let some = some.map_err(|error| format!("{}: {error}", path.display()))?;
        let count = some.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if count == 0 {
            return Err(format!("{}: the record is cut short", path.display()));
        }
        out.write_all(some.get(..count).unwrap_or_default()).map_err(|error| error.to_string())?;
        stream.consume(count);
        left -= count as u64;
    }
    out.flush().map_err(|error| error.to_string())?;
    Ok(recorded)
}

async fn exchange(path: &Path, request: Request) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path).await?;
    send_request(&mut stream, request).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER as u64).read_to_end(&mut answer).await?;
    Ok(answer)
}

pub(super) async fn send_request(stream: &mut UnixStream, request: Request) -> io::Result<()> {
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    // The proxy would hang up on it, and its words might be lost with that.
    if line.len() > MAX_REQUEST {
        return Err(io::Error::other(format!("the request is longer than {MAX_REQUEST} bytes")));
    }
    stream.write_all(&line).await
}

/// What to say where the proxy behind `path` could not be asked; `hint` is for where there is none.
pub(super) fn unreachable(path: &Path, error: &io::Error, hint: &str) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("{shown}: no proxy runs behind this control socket ({error}); {hint}")
        }
        _ => format!("{shown}: {error}"),
    }
}

pub(super) fn read_answer(path: &Path, line: &[u8]) -> Result<Answer, String> {
    let shown = path.display();
    match serde_json::from_slice(line) {
        Ok(Answer::Error { error }) => Err(format!("{shown}: {error}")),
        Ok(answer) => Ok(answer),
        Err(error) => Err(format!("{shown}: this is no answer of a netdrift proxy: {error}")),
    }
}
