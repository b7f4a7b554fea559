//! One upstream proxy: its settings, and how it serves one connection.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, PROXY_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::intercept::{Decision, Plain, Script};
use super::settings::Settings;
use super::{forward, status, tunnel};
use crate::client::Client;
use crate::http::body::{Body, text};
use crate::http::counted;
use crate::http::server::http_server;
use crate::journal::{Journal, Outcome, Recording};
use crate::request::{Asked, Form, Target};
use crate::stream::pause;
use crate::targets::Builtin;

/// One upstream proxy.
pub struct Upstream {
    name: Arc<str>,
    settings: Settings,
    journal: Arc<Journal>,
    connections: AtomicU64,
}

/// What became of a connection on which HTTP was spoken.
pub enum Handed<S, T> {
    /// It is over and closed.
    Over,
    /// Its last request opens a tunnel, or switches to WebSocket: go on with [`tunnel::serve`].
    Tunnel(Client<S>, Asked),
    /// The script took its last request; nothing was answered, the request's body was read to its end.
    Taken(Client<S>, Asked, T),
}

/// Ends hyper's work on a connection without a byte written.
#[derive(Debug)]
struct HandOver;

impl fmt::Display for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is handed over")
    }
}

impl std::error::Error for HandOver {}

/// Why the connection was handed over, and with what.
struct Left<T> {
    asked: Asked,
    recording: Recording,
    taken: Option<T>,
}

impl Upstream {
    /// An upstream called `name`, which writes into `journal`.
    pub fn new(name: &str, settings: Settings, journal: Arc<Journal>) -> Self {
        Upstream { name: name.into(), settings, journal, connections: AtomicU64::new(0) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it wrote down.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Time it takes before it answers a request.
    pub fn latency(&self) -> Duration {
        self.settings.latency
    }

    /// Numbers a new connection and writes it down.
    pub fn accept<S>(&self, stream: S) -> Client<S> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Client::new(stream, number, self.journal.clone())
    }

    /// Serves one connection to its end, as a good upstream does. `connect` reaches targets that are not built in.
    pub async fn serve<S, C, F, T>(&self, stream: S, connect: C)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        C: Fn(Target) -> F,
        F: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let client = self.accept(stream);
        match self.speak_http(client, &connect, &Plain).await {
            Handed::Over => {}
            Handed::Tunnel(client, asked) => tunnel::serve(client, &asked, &connect, &self.name).await,
            Handed::Taken(_, _, never) => match never {},
        }
    }

    /// Answers requests until the connection is over, becomes a tunnel, or `script` takes a request.
    pub async fn speak_http<S, C, F, T, X>(&self, client: Client<S>, connect: &C, script: &X) -> Handed<S, X::Taken>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        C: Fn(Target) -> F,
        F: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        X: Script,
    {
        let connection = client.connection();
        let requests = AtomicU64::new(client.requests());
        let left = Mutex::new(None);
        let service = service_fn(|request: Request<Incoming>| {
            let admitted = self.settings.auth.as_ref().is_none_or(|auth| auth.admits(&request));
            let asked = Asked::read(&request, connection, requests.load(Ordering::Relaxed) + 1, admitted);
            if asked.is_some() {
                requests.fetch_add(1, Ordering::Relaxed);
            }
            let answer = self.answer(request, asked, connect, script, &left);
            Box::pin(answer) as Pin<Box<_>>
        });
        let mut http = http_server().serve_connection(TokioIo::new(client), service);
        let ended = poll_fn(|cx| http.poll_without_shutdown(cx)).await;
        let parts = http.into_parts();
        let mut client = parts.io.into_inner();
        client.unread = join(parts.read_buf, &client.unread);
        client.presence.requests = requests.load(Ordering::Relaxed);

        match left.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(Left { asked, recording, taken }) => {
                client.begin_request(recording);
                match taken {
                    Some(taken) => Handed::Taken(client, asked, taken),
                    None => Handed::Tunnel(client, asked),
                }
            }
            None => {
                client.presence.reason = ended.err().map(|error| reason(&error));
                // Nobody is left to hear of a failure here.
                let _ = client.shutdown().await;
                Handed::Over
            }
        }
    }

    async fn answer<C, F, T, X>(
        &self,
        mut request: Request<Incoming>,
        asked: Option<Asked>,
        connect: &C,
        script: &X,
        left: &Mutex<Option<Left<X::Taken>>>,
    ) -> Result<Response<Body>, HandOver>
    where
        C: Fn(Target) -> F,
        F: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        X: Script,
    {
        let Some(asked) = asked else {
            return Ok(status::answer(&self.name, &self.journal, &request));
        };
        let mut recording = Recording::begin(&self.journal, &asked);
        let hand_over = |asked, recording, taken| {
            *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(Left { asked, recording, taken });
            Err(HandOver)
        };
        let delay = match script.decide(&asked) {
            Decision::Serve { delay, faults } => {
                recording.faults = faults;
                self.settings.latency + delay
            }
            Decision::Take(taken) => {
                if asked.form == Form::Absolute {
                    while let Some(Ok(frame)) = request.body_mut().frame().await {
                        if let Some(data) = frame.data_ref() {
                            recording.up.add(data);
                        }
                    }
                }
                return hand_over(asked, recording, Some(taken));
            }
        };
        pause(delay).await;
        if !asked.admitted {
            recording.status = Some(407);
            recording.outcome = Outcome::Refused;
            return Ok(ask_for_credentials());
        }
        if asked.form == Form::Connect || Builtin::opens_websocket(&asked) {
            return hand_over(asked, recording, None);
        }
        let (recording, request) = counted::record(recording, request);
        let answer = match Builtin::named(&asked.target.host) {
            Some(builtin) => builtin.answer(request, &self.name).await,
            None => forward::forward(&asked.target, request, connect).await,
        };
        Ok(counted::record_answer(recording, answer))
    }
}

fn ask_for_credentials() -> Response<Body> {
    let mut answer = text(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "proxy credentials needed\n");
    answer.headers_mut().insert(PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"mock-upstreams\""));
    answer
}

fn join(first: Bytes, second: &Bytes) -> Bytes {
    if second.is_empty() {
        return first;
    }
    let mut both = BytesMut::from(first);
    both.extend_from_slice(second);
    both.freeze()
}

fn reason(error: &hyper::Error) -> &'static str {
    if error.is_parse() {
        "malformed request"
    } else if error.is_incomplete_message() {
        "cut short by the client"
    } else {
        "connection failed"
    }
}
