//! A bench is a subject between a client and an upstream that are played byte for byte.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::message::{Message, contains, head_end, replies};
use crate::record::{Recorder, ScenarioEvent, What};
use crate::scenario::{self, ConfigFile, HostName, PROXY, UPSTREAM_PORT};
use crate::subject::Subject;
use crate::world::live::Live;
use crate::world::{Engine, Patience, RunsProxy};

/// How long the bench waits for bytes before it takes a connection for one on which no more come, where it has seen what it waited for.
const WATCHDOG: Duration = Duration::from_secs(2);
/// How long the upstream looks whether more comes behind a CONNECT before it answers that.
const AHEAD: Duration = Duration::from_millis(300);
/// How long a client waits for an answer. It is much longer than the proxy waits for its upstream.
const PATIENCE: Duration = Duration::from_secs(30);
/// The target that a subject's own health checks ask for. They are answered well, whatever the exchange is about.
const HEALTH_CHECK: &[u8] = b"http.mock";
/// The user of a bench whose proxy asks for credentials.
const USER: &str = "ann";

/// A subject that runs, with a client and an upstream beside it.
pub(super) struct Bench {
    /// It holds the process, which ends with it. There is none where a test plays the proxy.
    _live: Option<Live>,
    proxy: SocketAddr,
    upstream: Arc<Mutex<Upstream>>,
    /// How long its client waits for an answer.
    patience: Duration,
}

/// What the upstream is to say, and what it has seen since the exchange began.
#[derive(Default)]
struct Upstream {
    reply: Vec<u8>,
    saw: Vec<Vec<u8>>,
}

/// What came of an exchange.
pub(super) struct Seen {
    /// The requests that the upstream saw.
    pub(super) requests: Vec<Message>,
    /// The same as bytes.
    pub(super) raw: Vec<Vec<u8>>,
    /// All that the client got.
    pub(super) client: Vec<u8>,
    /// What of that it had got when it began with the last step.
    pub(super) before_last: Vec<u8>,
    /// Whether the proxy ended the connection.
    pub(super) ended: bool,
}

impl Bench {
    /// Starts `subject` with one upstream; one `with_user` asks its clients for credentials.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn start(subject: &Arc<Subject>, with_user: bool) -> Result<Self, String> {
        let users = format!(
            r#""authentication": {{ "enabled": true, "users": [{{ "username": "{USER}", "password": "secret" }}] }},"#
        );
        let story = format!(
            r#"{{ "name": "conformance", "story": "x", "duration": "1h", "upstreams": [{{ "name": "a" }}],
                "proxy": {{ {} "timeouts": {{ "connect": "1s", "reply": "2s" }}, "health_check": {{ "failure_threshold": 100 }} }},
                "clients": [{{ "name": "c", "do": "echo", "requests": 1 }}] }}"#,
            if with_user { users.as_str() } else { "" }
        );
        let story = scenario::parse(&story).map_err(|problems| problems.to_string())?;
        let hosts = [PROXY, "a", "c"].map(HostName::new);
        let said = |error: io::Error| error.to_string();
        let mut live = Live::new(&hosts, &story, 1, Patience::new("conformance", 1)).map_err(said)?;
        live.set_subject(Arc::clone(subject));
        let listener = TcpListener::bind((live.address(&hosts[1]), UPSTREAM_PORT)).map_err(said)?;
        // A proxy may look whether its upstream is there before it serves.
        let upstream = Arc::<Mutex<Upstream>>::default();
        serve(listener, &upstream).map_err(said)?;
        let recorder = Recorder::new(live.clock());
        let file = ConfigFile::first(&story, PROXY);
        live.start_proxy(&hosts[0], &file, recorder.clone(), 1);
        live.begin();
        let failed = recorder.take().lines.into_iter().find_map(|line| match line.what {
            What::Scenario(ScenarioEvent::Failed { what }) => Some(what),
            _ => None,
        });
        if let Some(what) = failed.or_else(|| (!live.proxy_works(&hosts[0])).then(|| live.panics().join("\n"))) {
            return Err(what);
        }
        let port = file.config.map_err(|error| error.to_string())?.server.listen.port();
        let proxy = SocketAddr::new(live.address(&hosts[0]), port);
        Ok(Bench { _live: Some(live), proxy, upstream, patience: PATIENCE })
    }

    /// A bench without any proxy: the client speaks to the upstream.
    #[cfg(test)]
    pub(super) fn direct() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = listener.local_addr().unwrap();
        let upstream = Arc::<Mutex<Upstream>>::default();
        serve(listener, &upstream).unwrap();
        Bench { _live: None, proxy, upstream, patience: PATIENCE }
    }

    /// A bench with a proxy that serves one connection after the other by `serve`. Where it says nothing, nothing comes later either, so that
    /// its client need not wait.
    #[cfg(test)]
    pub(super) fn of(serve: impl Fn(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = listener.local_addr().unwrap();
        std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
        Bench { _live: None, proxy, upstream: Arc::default(), patience: Duration::from_millis(20) }
    }

    /// The same of a proxy that is gone behind its first connection.
    #[cfg(test)]
    pub(super) fn of_one_connection(serve: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let first = listener.accept();
            drop(listener);
            serve(first.unwrap().0);
        });
        Bench { _live: None, proxy, upstream: Arc::default(), patience: PATIENCE }
    }

    /// The client sends `request`; whatever reaches the upstream is answered with `reply`.
    pub(super) fn exchange(&self, request: &str, reply: &str) -> Result<Seen, String> {
        self.steps(&[request], reply)
    }

    /// The same, where the client waits for a head before it sends the next of `steps`.
    pub(super) fn steps(&self, steps: &[&str], reply: &str) -> Result<Seen, String> {
        *lock(&self.upstream) = Upstream { reply: reply.as_bytes().to_vec(), saw: Vec::new() };
        let mut seen = self.play(steps).map_err(|error| format!("the client could not play its part: {error}"))?;
        if seen.client.is_empty() && !seen.ended {
            return Err("the client got neither an answer nor an end".to_owned());
        }
        TcpStream::connect(self.proxy).map_err(|error| format!("the proxy accepts nobody any more: {error}"))?;
        let raw = std::mem::take(&mut lock(&self.upstream).saw);
        let requests = raw.iter().filter_map(|bytes| Message::read(bytes)).collect();
        (seen.requests, seen.raw) = (requests, raw);
        Ok(seen)
    }

    /// What the client saw.
    fn play(&self, steps: &[&str]) -> io::Result<Seen> {
        let mut stream = TcpStream::connect(self.proxy)?;
        stream.set_read_timeout(Some(self.patience))?;
        let (mut got, mut before_last) = (Vec::new(), Vec::new());
        for (index, step) in steps.iter().enumerate() {
            if index > 0 {
                read_until(&mut stream, &mut got, |got| head_end(got).is_some());
            }
            before_last.clone_from(&got);
            // A proxy that has refused already may have closed its side.
            let _ = stream.write_all(step.as_bytes());
        }
        let answered = |got: &[u8]| replies(got).last().is_some_and(Message::is_final);
        let ended = read_until(&mut stream, &mut got, answered) || {
            stream.set_read_timeout(Some(WATCHDOG.min(self.patience)))?;
            read_until(&mut stream, &mut got, |_| false)
        };
        Ok(Seen { requests: Vec::new(), raw: Vec::new(), client: got, before_last, ended })
    }
}

/// Accepts connections for as long as the process lasts, each in a thread of its own: a proxy may look whether the upstream is there while
/// another connection is served.
fn serve(listener: TcpListener, upstream: &Arc<Mutex<Upstream>>) -> io::Result<()> {
    let upstream = Arc::clone(upstream);
    std::thread::Builder::new().name("upstream".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let upstream = Arc::clone(&upstream);
            // Without a thread the proxy waits in vain, and the check fails.
            let _ = std::thread::Builder::new().spawn(move || drop(answer(stream, &upstream)));
        }
    })?;
    Ok(())
}

fn answer(mut stream: TcpStream, upstream: &Mutex<Upstream>) -> io::Result<()> {
    stream.set_read_timeout(Some(WATCHDOG))?;
    let mut got = Vec::new();
    read_until(&mut stream, &mut got, |got| head_end(got).is_some());
    let Some(head) = Message::read(&got) else {
        if !got.is_empty() {
            lock(upstream).saw.push(got);
        }
        return Ok(());
    };
    if contains(head.head.as_bytes(), HEALTH_CHECK) {
        return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    if head.has("expect") && !head.is_whole() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if head.is_connect() {
        stream.set_read_timeout(Some(AHEAD))?;
        read_until(&mut stream, &mut got, |_| false);
        stream.set_read_timeout(Some(WATCHDOG))?;
    }
    read_until(&mut stream, &mut got, |got| Message::read(got).is_some_and(|message| message.is_whole()));
    let reply = {
        let mut upstream = lock(upstream);
        upstream.saw.push(got);
        upstream.reply.clone()
    };
    stream.write_all(&reply)?;
    stream.shutdown(Shutdown::Write)?;
    // What is not read would have the system reset the connection.
    read_until(&mut stream, &mut Vec::new(), |_| false);
    Ok(())
}

/// Reads into `got` until `enough`, or until no more comes; true if the other side has ended its part.
fn read_until(stream: &mut TcpStream, got: &mut Vec<u8>, enough: impl Fn(&[u8]) -> bool) -> bool {
    let mut buffer = [0; 4096];
    while !enough(got) {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(length) => got.extend_from_slice(&buffer[..length]),
            Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
    false
}

fn lock(upstream: &Mutex<Upstream>) -> MutexGuard<'_, Upstream> {
    upstream.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    /// The request that the upstream saw.
    pub(super) fn request(&self) -> Result<&Message, String> {
        self.requests.first().ok_or_else(|| match self.status() {
            Some(status) => format!("nothing reached the upstream, and the client got {status}"),
            None => "nothing reached the upstream, and the client got no answer".to_owned(),
        })
    }

    /// The replies that the client got.
    pub(super) fn replies(&self) -> Vec<Message> {
        replies(&self.client)
    }

    /// The final reply that the client got.
    pub(super) fn reply(&self) -> Result<Message, String> {
        let last = self.replies().pop().filter(Message::is_final);
        last.ok_or_else(|| "the client got no answer".to_owned())
    }

    /// The status of that reply.
    pub(super) fn status(&self) -> Option<u16> {
        self.reply().ok()?.status()
    }

    /// That the client got one of `statuses`, and nothing reached the upstream.
    pub(super) fn refused(&self, statuses: &[u16]) -> Result<(), String> {
        let status = self.status();
        if self.raw.is_empty() && status.is_some_and(|status| statuses.contains(&status)) {
            return Ok(());
        }
        let what = status.map_or("no answer".to_owned(), |status| status.to_string());
        let reached = if self.raw.is_empty() { "nothing" } else { "the request" };
        Err(format!("{reached} reached the upstream, and the client got {what}; {statuses:?} is right"))
    }
}
