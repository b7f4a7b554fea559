//! Answers questions that come through the control socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::{Answer, ControlSocket, MAX_REQUEST, Request};
use crate::env::Env;
use crate::env::os::Os;
use crate::proxy::Proxy;

/// Connections served at once. Those that come behind wait in the system's queue.
const MAX_CONNECTIONS: usize = 16;

/// How long a request may take to arrive, and an answer to be read.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a reload may take before whoever asked for it is told that it has not ended yet.
const RELOAD_PATIENCE: Duration = Duration::from_secs(60);

/// How long accepting pauses where the system can't (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A reload that somebody waits for. Dropped unanswered it tells that the proxy is stopping.
#[derive(Debug)]
pub struct PendingReload(oneshot::Sender<Answer>);

impl PendingReload {
    /// Tells whoever waits what came of it.
    pub fn answer(self, answer: Answer) {
        // Nobody may wait any more.
        let _ = self.0.send(answer);
    }
}

/// Answers on `socket` for as long as the runtime lives. Health is told from here, so that it is told while a reload
/// hangs and while the proxy drains; reloads come out of the returned channel.
///
/// # Errors
/// The socket can't be given to the runtime.
pub fn serve(socket: &ControlSocket, proxy: Arc<Proxy<Os>>) -> io::Result<mpsc::Receiver<PendingReload>> {
    let listener = UnixListener::from_std(socket.listener()?)?;
    let (reloads, pending) = mpsc::channel(MAX_CONNECTIONS);
    let env = Os::new();
    env.clone().spawn(accept(env, listener, proxy, reloads));
    Ok(pending)
}

async fn accept(env: Os, listener: UnixListener, proxy: Arc<Proxy<Os>>, reloads: mpsc::Sender<PendingReload>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (proxy, reloads) = (Arc::clone(&proxy), reloads.clone());
                env.spawn(async move {
                    serve_one(stream, &proxy, &reloads).await;
                    drop(slot);
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// One question and its answer.
async fn serve_one(mut stream: UnixStream, proxy: &Proxy<Os>, reloads: &mpsc::Sender<PendingReload>) {
    let error = |error: String| Answer::Error { error };
    let peer = stream.peer_cred().map(|peer| peer.uid());
    let answer = match peer {
        Ok(uid) if may_ask(uid, rustix::process::geteuid().as_raw()) => {
            match timeout(PATIENCE, read_line(&mut stream)).await {
                Ok(Ok(line)) => match serde_json::from_slice(&line) {
                    Ok(Request::Health {}) => Answer::Health(proxy.health()),
                    Ok(Request::Reload {}) => reload(reloads).await,
                    Err(what) => error(format!("not a request that is known here: {what}")),
                },
                Ok(Err(what)) => error(format!("no request could be read: {what}")),
                Err(_) => error("no request came in time".to_owned()),
            }
        }
        Ok(uid) => error(format!("only the proxy's own user and root may ask, not user {uid}")),
        Err(what) => error(format!("who asks can't be told: {what}")),
    };
    let mut line = serde_json::to_vec(&answer).unwrap_or_default();
    line.push(b'\n');
    // Whoever asked may have gone.
    let _ = timeout(PATIENCE, async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    })
    .await;
}

/// Whether a process of the user `peer` may ask a proxy of the user `own`. The mode of the file says the same, as long
/// as nobody changes it.
fn may_ask(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

/// The bytes before the first line break or the end.
async fn read_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut limited = stream.take(MAX_REQUEST as u64);
    loop {
        let count = limited.read_buf(&mut line).await?;
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            line.truncate(end);
            return Ok(line);
        }
        if line.len() == MAX_REQUEST {
            return Err(io::Error::other(format!("it is longer than {MAX_REQUEST} bytes")));
        }
        if count == 0 {
            return Ok(line);
        }
    }
}

async fn reload(reloads: &mpsc::Sender<PendingReload>) -> Answer {
    let (answer, answered) = oneshot::channel();
    let outcome = timeout(RELOAD_PATIENCE, async {
        reloads.send(PendingReload(answer)).await.ok()?;
        answered.await.ok()
    })
    .await;
    let error = |text: &str| Answer::Error { error: text.to_owned() };
    match outcome {
        Ok(Some(answer)) => answer,
        Ok(None) => error("the proxy is stopping and reads no configuration any more"),
        Err(_) => error("the configuration is still being read; the log will say what comes of it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_user_and_root_may_ask() {
        assert!(may_ask(1000, 1000) && may_ask(0, 1000) && may_ask(0, 0));
        assert!(!may_ask(1001, 1000) && !may_ask(1000, 0));
    }

    /// What is read where `bytes` come and then the end.
    async fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.write_all(bytes).await.unwrap();
        drop(near);
        read_line(&mut far).await
    }

    #[tokio::test]
    async fn a_request_is_one_line_of_bounded_length() {
        assert_eq!(read(b"{}\nmore").await.unwrap(), b"{}");
        assert_eq!(read(b"{}").await.unwrap(), b"{}");
        assert_eq!(read(b"").await.unwrap(), b"");
        let longest = vec![b' '; MAX_REQUEST - 1];
        assert_eq!(read(&[&longest[..], b"\n"].concat()).await.unwrap(), longest);
        assert!(read(&[b' '; MAX_REQUEST]).await.is_err());
        assert!(read(&[b' '; 3 * MAX_REQUEST]).await.is_err());
    }

    #[test]
    fn a_request_with_a_field_that_is_not_known_is_not_taken_for_another() {
        let parse = |text: &str| serde_json::from_str::<Request>(text).ok();
        assert_eq!(parse(r#"{"command":"reload"}"#), Some(Request::Reload {}));
        assert_eq!(parse(r#"{"command":"reload","dry_run":true}"#), None);
        assert_eq!(parse(r#"{"command":"Reload"}"#), None);
        assert_eq!(parse("{}"), None);
    }

    #[tokio::test]
    async fn a_reload_that_nobody_takes_up_says_so() {
        let (reloads, pending) = mpsc::channel(1);
        let asked = reload(&reloads);
        drop(pending);
        assert!(matches!(asked.await, Answer::Error { error } if error.contains("stopping")));
    }
}
