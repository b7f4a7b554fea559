//! Answers questions that come through the control socket.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{Answer, ControlSocket, Holdings, MAX_REQUEST, Recorded, Request, hand_over};
use crate::config;
use crate::daemon::flight::{self, Recorder};
use crate::daemon::log::LogControl;
use crate::env::Env;
use crate::env::os::Os;
use crate::proxy::{Comparison, Operator, Proxy, Steered};

/// Connections served at once. Those that come behind wait in the system's queue.
const MAX_CONNECTIONS: usize = 16;

/// How long a request may take to arrive, and an answer to be read.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a reload may take before whoever asked for it is told that it has not ended yet.
const RELOAD_PATIENCE: Duration = Duration::from_secs(60);

/// How long a program that was started anew may take before whoever asked for it is told that it does not serve yet: longer than
/// a hand-over waits for it.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(60);

/// How long a record may take to be read: it may be much, and its reader may write it to a slow disk.
const RECORD_PATIENCE: Duration = Duration::from_secs(60);

/// How long accepting pauses where the system can't (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What somebody waits for, and only the main task can do.
#[derive(Debug)]
pub enum Pending {
    /// Reading the configuration again.
    Reload(PendingReload),
    /// Draining and ending.
    Drain,
    /// Leaving the clients to another process.
    HandOver(PendingHandOver),
    /// Starting that process.
    Upgrade(PendingUpgrade),
}

/// Another process serves with our listening socket and waits for us to leave it alone.
#[derive(Debug)]
pub struct PendingHandOver {
    /// The process id of the other one.
    pub to: i32,
    retired: oneshot::Sender<()>,
    told: oneshot::Receiver<()>,
}

impl PendingHandOver {
    /// Tells the other process that no client is accepted here any more, and returns once it has been told: this process may
    /// have nothing else to wait for.
    pub async fn retired(self) {
        // Whoever tells it may have given up.
        let _ = self.retired.send(());
        let _ = self.told.await;
    }
}

/// A start of the program anew that somebody waits for. Dropped unanswered it tells that the proxy is stopping.
#[derive(Debug)]
pub struct PendingUpgrade {
    answer: oneshot::Sender<Answer>,
    told: oneshot::Receiver<()>,
}

impl PendingUpgrade {
    /// Tells whoever waits what came of it.
    pub fn answer(self, answer: Answer) {
        // Nobody may wait any more.
        let _ = self.answer.send(answer);
    }

    /// The same, and returns once it was told: this process may have nothing else to wait for.
    pub async fn told(self, answer: Answer) {
        let _ = self.answer.send(answer);
        let _ = self.told.await;
    }
}

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

/// What a question is answered from.
struct Service {
    proxy: Arc<Proxy<Os>>,
    pending: mpsc::Sender<Pending>,
    holdings: Holdings,
    log: LogControl,
    recorder: Option<Arc<Recorder>>,
    /// Held by the one process that is taking over, and kept by it once it has.
    successor: Semaphore,
}

/// Answers on `socket` for as long as the runtime lives. Health is told from here, so that it is told while a reload
/// hangs and while the proxy drains; what only the main task can do comes out of the returned channel.
///
/// # Errors
/// The socket can't be given to the runtime.
pub fn serve(
    socket: &ControlSocket,
    proxy: Arc<Proxy<Os>>,
    holdings: Holdings,
    (log, recorder): (LogControl, Option<Arc<Recorder>>),
) -> io::Result<mpsc::Receiver<Pending>> {
    let listener = UnixListener::from_std(socket.listener()?)?;
    let (sender, pending) = mpsc::channel(MAX_CONNECTIONS);
    let service = Service { proxy, pending: sender, holdings, log, recorder, successor: Semaphore::new(1) };
    let env = Os::new();
    env.clone().spawn(accept(env, listener, Arc::new(service)));
    Ok(pending)
}

async fn accept(env: Os, listener: UnixListener, service: Arc<Service>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = Arc::clone(&service);
                env.spawn(async move {
                    serve_one(stream, &service).await;
                    drop(slot);
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// One question and its answer.
async fn serve_one(mut stream: UnixStream, service: &Service) {
    let error = |error: String| Answer::Error { error };
    let peer = stream.peer_cred().map(|peer| Operator { uid: peer.uid(), pid: peer.pid() });
    let answer = match peer {
        Ok(peer) if may_ask(peer.uid, rustix::process::geteuid().as_raw()) => {
            match timeout(PATIENCE, read_line(&mut stream)).await {
                Ok(Ok(line)) => match serde_json::from_slice(&line) {
                    Ok(Request::Health {}) => Answer::Health(service.proxy.health()),
                    Ok(Request::Statistics {}) => Answer::Statistics { page: service.proxy.statistics().await },
                    Ok(Request::Requests { failed }) => Answer::Requests { page: service.proxy.requests(failed) },
                    Ok(Request::Explain { request }) => match service.proxy.explain(request) {
                        Some(page) => Answer::Requests { page },
                        None => error(format!("request {request} is not remembered")),
                    },
                    Ok(Request::Steer { upstream, order }) => match service.proxy.steer(&upstream, order, peer) {
                        Ok(Steered { change, warnings }) => Answer::Steered { change, warnings },
                        Err(what) => error(what.to_string()),
                    },
                    Ok(Request::Tunnels {}) => Answer::Tunnels { page: service.proxy.tunnels().await },
                    Ok(Request::CloseTunnels { which }) => match service.proxy.close_tunnels(&which, peer).await {
                        Ok(closed) => Answer::TunnelsClosed { closed },
                        Err(what) => error(what.to_string()),
                    },
                    Ok(Request::Compare { path }) => compare(&service.proxy, path).await,
                    Ok(Request::LogLevel { level: None }) => Answer::LogLevel { level: service.log.level() },
                    Ok(Request::LogLevel { level: Some(level) }) => {
                        match service.log.set_level(&level, (peer.uid, peer.pid)) {
                            Ok(level) => Answer::LogLevel { level },
                            Err(what) => error(format!("the level {what}")),
                        }
                    }
                    Ok(Request::Record {}) => match record(&mut stream, service).await {
                        Ok(()) => return,
                        Err(what) => error(what),
                    },
                    Ok(Request::Drain {}) => match service.pending.send(Pending::Drain).await {
                        Ok(()) => Answer::Draining {},
                        Err(_) => error("the proxy is stopping already".to_owned()),
                    },
                    Ok(Request::Reload {}) => reload(&service.pending).await,
                    Ok(Request::Upgrade {}) => return upgrade(&mut stream, service).await,
                    Ok(Request::HandOver {}) => match hand_over_to(&mut stream, service).await {
                        Ok(()) => return,
                        Err(what) => error(what),
                    },
                    Ok(Request::TookOver {}) => error("nothing was handed over on this connection".to_owned()),
                    Err(what) => error(format!("not a request that is known here: {what}")),
                },
                Ok(Err(what)) => error(format!("no request could be read: {what}")),
                Err(_) => error("no request came in time".to_owned()),
            }
        }
        Ok(Operator { uid, .. }) => error(format!("only the proxy's own user and root may ask, not user {uid}")),
        Err(what) => error(format!("who asks can't be told: {what}")),
    };
    say(&mut stream, &answer).await;
}

/// Writes the last events to `stream`. The sentence says why there are none.
async fn record(stream: &mut UnixStream, service: &Service) -> Result<(), String> {
    let record = service.recorder.as_ref().ok_or(flight::OFF)?.read().await?;
    let (bytes, events, missed) = (record.text.len() as u64, record.events, record.missed);
    let answer = Answer::Recorded(Recorded { bytes, events, missed });
    let mut line = serde_json::to_vec(&answer).map_err(|error| error.to_string())?;
    line.push(b'\n');
    // Whoever asked may have gone, and sees that it is not whole if it has not.
    let _ = timeout(RECORD_PATIENCE, async {
        stream.write_all(&line).await?;
        stream.write_all(&record.text).await?;
        stream.shutdown().await
    })
    .await;
    Ok(())
}

/// Answers, and ends the connection.
async fn say(stream: &mut UnixStream, answer: &Answer) {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
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

/// Hands over to the process at the other end of `stream`, and tells it once it serves and no client is accepted here any more.
/// Where that does not come about, this process serves on, and the sentence says why.
async fn hand_over_to(stream: &mut UnixStream, service: &Service) -> Result<(), String> {
    let turn =
        service.successor.try_acquire().map_err(|_| "another process is taking over, or has done so".to_owned())?;
    let handed = service.holdings.lend().map_err(|what| format!("nothing can be handed over: {what}"))?;
    handed.send(stream).await.map_err(|what| format!("the descriptors can't be sent: {what}"))?;
    drop(handed);
    let said = timeout(hand_over::PATIENCE, read_line(stream)).await;
    let took_over = |line: &[u8]| serde_json::from_slice(line).ok() == Some(Request::TookOver {});
    if !matches!(&said, Ok(Ok(line)) if took_over(line)) {
        warn!(event = "hand_over_broken_off", "the process that was to take over does not serve; this one serves on");
        return Err("the hand-over is broken off".to_owned());
    }
    let to = stream.peer_cred().ok().and_then(|peer| peer.pid()).ok_or("who takes over can't be told")?;
    let (retired, has_retired) = oneshot::channel();
    let (tells, told) = oneshot::channel();
    let pending = Pending::HandOver(PendingHandOver { to, retired, told });
    let stopping = || "the proxy is stopping by itself".to_owned();
    service.pending.send(pending).await.map_err(|_| stopping())?;
    has_retired.await.map_err(|_| stopping())?;
    // There is nothing left to hand over.
    turn.forget();
    say(stream, &Answer::Retired {}).await;
    drop(tells);
    Ok(())
}

/// Has the program started anew, and says what came of it.
async fn upgrade(stream: &mut UnixStream, service: &Service) {
    let (answer, answered) = oneshot::channel();
    let (tells, told) = oneshot::channel();
    let outcome = timeout(UPGRADE_PATIENCE, async {
        service.pending.send(Pending::Upgrade(PendingUpgrade { answer, told })).await.ok()?;
        answered.await.ok()
    })
    .await;
    let error = |text: &str| Answer::Error { error: text.to_owned() };
    let answer = match outcome {
        Ok(Some(answer)) => answer,
        Ok(None) => error("the proxy is stopping, or has handed over already"),
        Err(_) => error("the new process does not serve yet; the log will say what comes of it"),
    };
    say(stream, &answer).await;
    drop(tells);
}

/// What a reload with the file at `path` would change.
async fn compare(proxy: &Proxy<Os>, path: PathBuf) -> Answer {
    #[expect(clippy::disallowed_methods, reason = "files are read off the runtime; nothing here is simulated")]
    let read = tokio::task::spawn_blocking(move || config::load(&path).outcome);
    let error = |text: String| Answer::Error { error: text };
    match timeout(RELOAD_PATIENCE, read).await {
        Ok(Ok(Ok(config))) => {
            let warnings = config.warnings.clone();
            let Comparison { changes, by_hand, restart_required } = proxy.compare(config);
            Answer::Compared { changes, by_hand, restart_required, warnings }
        }
        Ok(Ok(Err(problems))) => Answer::Refused { problems: problems.to_string() },
        Ok(Err(failed)) => error(failed.to_string()),
        Err(_) => error("the file could not be read in time".to_owned()),
    }
}

async fn reload(pending: &mpsc::Sender<Pending>) -> Answer {
    let (answer, answered) = oneshot::channel();
    let outcome = timeout(RELOAD_PATIENCE, async {
        pending.send(Pending::Reload(PendingReload(answer))).await.ok()?;
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
    use crate::proxy::Order;

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
        assert_eq!(parse(r#"{"command":"hand_over","to":1}"#), None);
        assert_eq!(parse(r#"{"command":"upgrade"}"#), Some(Request::Upgrade {}));
        assert_eq!(parse(r#"{"command":"upgrade","program":"/bin/sh"}"#), None);
        let steer = |order| Some(Request::Steer { upstream: "a".to_owned(), order });
        assert_eq!(parse(r#"{"command":"steer","upstream":"a","order":"drain"}"#), steer(Order::Drain));
        assert_eq!(parse(r#"{"command":"steer","upstream":"a","order":{"weight":7}}"#), steer(Order::Weight(7)));
        for order in [r#""stop""#, r#"{"weight":-1}"#, r#"{"weight":1,"drain":null}"#, r#"["drain"]"#, "null"] {
            assert_eq!(parse(&format!(r#"{{"command":"steer","upstream":"a","order":{order}}}"#)), None, "{order}");
        }
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
