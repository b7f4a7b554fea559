//! Serves one connection to an upstream, from its first byte to its last.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, PROXY_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::intercept::{Decision, Interceptor, NoInterceptor};
use super::settings::Settings;
use super::{forward, status, tunnel};
use crate::client::Client;
use crate::http::body::{Body, text};
use crate::http::counted;
use crate::http::server::http_server;
use crate::journal::{Journal, Outcome, Recording};
use crate::request::{Form, ProxyRequest, Target};
use crate::stream::pause;
use crate::targets::Builtin;

/// One upstream proxy: a name, settings, and a journal.
pub struct Upstream {
    name: Arc<str>,
    settings: Settings,
    journal: Arc<Journal>,
    connections: AtomicU64,
}

/// What comes after the HTTP requests of one connection.
pub enum AfterHttp<S, T> {
    /// Nothing: the connection is closed.
    Closed,
    /// A tunnel: the last request was a CONNECT or opens a WebSocket. Go on with [`tunnel::serve`].
    Tunnel(Client<S>, ProxyRequest),
    /// The interceptor took the last request. Its body was read to the end, and nothing was answered.
    Intercepted(Client<S>, ProxyRequest, T),
}

/// The error that makes hyper let go of a connection without writing a byte.
#[derive(Debug)]
struct LetGo;

impl fmt::Display for LetGo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is served without hyper from here on")
    }
}

impl std::error::Error for LetGo {}

/// The request at which hyper let go of the connection.
struct LastRequest<T> {
    request: ProxyRequest,
    recording: Recording,
    intercepted: Option<T>,
}

impl Upstream {
    /// Makes an upstream called `name`, which writes into `journal`.
    pub fn new(name: &str, settings: Settings, journal: Arc<Journal>) -> Self {
        Upstream { name: name.into(), settings, journal, connections: AtomicU64::new(0) }
    }

    /// The upstream's name, which `http.mock/ip` answers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The journal of everything that the upstream saw.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The time that the upstream takes before it answers a request.
    pub fn latency(&self) -> Duration {
        self.settings.latency
    }

    /// Gives a new connection of `peer` its number and writes it down. [`Upstream::serve`] does this by itself.
    pub fn accept<S>(&self, stream: S, peer: Option<String>) -> Client<S> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Client::new(stream, number, peer, self.journal.clone())
    }

    /// Serves one connection to its end, as a good upstream does. `connect` reaches targets that are not built in.
    pub async fn serve<S, C, F, T>(&self, stream: S, connect: C)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        C: Fn(Target) -> F,
        F: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let client = self.accept(stream, None);
        match self.speak_http(client, &connect, &NoInterceptor).await {
            AfterHttp::Closed => {}
            AfterHttp::Tunnel(client, request) => tunnel::serve(client, &request, &connect, &self.name).await,
            AfterHttp::Intercepted(_, _, never) => match never {},
        }
    }

    /// Answers requests until the connection is closed, becomes a tunnel, or `interceptor` takes a request.
    pub async fn speak_http<S, C, F, T, I>(
        &self,
        mut client: Client<S>,
        connect: &C,
        interceptor: &I,
    ) -> AfterHttp<S, I::Intercepted>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        C: Fn(Target) -> F,
        F: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        I: Interceptor,
    {
        if client.requests() == 0
            && let Some(limit) = self.settings.idle_timeout
            && timeout(limit, client.wait_for_bytes()).await.is_err()
        {
            client.closes_because("nothing came");
            // Nobody is left who could be told that this failed.
            let _ = client.shutdown().await;
            return AfterHttp::Closed;
        }
        let connection = client.connection();
        let requests = AtomicU64::new(client.requests());
        let logged_in = Mutex::new(client.logged_in());
        let last = Mutex::new(None);
        let service = service_fn(|message: Request<Incoming>| {
            let admitted = self.settings.auth.as_ref().is_none_or(|auth| auth.admits(&message));
            let number = requests.load(Ordering::Relaxed) + 1;
            let mut request = ProxyRequest::read(&message, connection, number, admitted);
            if let Some(request) = &mut request {
                requests.fetch_add(1, Ordering::Relaxed);
                stay_logged_in(&logged_in, request);
            }
            let answer = self.answer(message, request, connect, interceptor, &last);
            Box::pin(answer) as Pin<Box<_>>
        });
        let mut http = http_server().serve_connection(TokioIo::new(client), service);
        let ended = poll_fn(|cx| http.poll_without_shutdown(cx)).await;
        let parts = http.into_parts();
        let mut client = parts.io.into_inner();
        client.put_back(parts.read_buf);
        client.count_requests(requests.load(Ordering::Relaxed));
        client.stays_logged_in(logged_in.into_inner().unwrap_or_else(PoisonError::into_inner));

        match last.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(LastRequest { request, recording, intercepted }) => {
                client.begin_request(recording);
                match intercepted {
                    Some(intercepted) => AfterHttp::Intercepted(client, request, intercepted),
                    None => AfterHttp::Tunnel(client, request),
                }
            }
            None => {
                if let Err(error) = ended {
                    client.closes_because(reason(&error));
                }
                // Nobody is left who could be told that this failed.
                let _ = client.shutdown().await;
                AfterHttp::Closed
            }
        }
    }

    /// Answers one message. `request` is `None` where the message is for the upstream itself.
    async fn answer<C, F, T, I>(
        &self,
        mut message: Request<Incoming>,
        request: Option<ProxyRequest>,
        connect: &C,
        interceptor: &I,
        last: &Mutex<Option<LastRequest<I::Intercepted>>>,
    ) -> Result<Response<Body>, LetGo>
    where
        C: Fn(Target) -> F,
        F: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        I: Interceptor,
    {
        let Some(request) = request else {
            return Ok(status::answer(&self.name, &self.journal, &message));
        };
        let mut recording = Recording::begin(&self.journal, &request);
        let let_go = |request, recording, intercepted| {
            *last.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(LastRequest { request, recording, intercepted });
            Err(LetGo)
        };
        let delay = match interceptor.decide(&request) {
            Decision::Serve { delay, faults } => {
                recording.faults = faults;
                self.settings.latency + delay
            }
            Decision::Intercept(intercepted) => {
                if request.form == Form::Absolute {
                    while let Some(Ok(frame)) = message.body_mut().frame().await {
                        if let Some(data) = frame.data_ref() {
                            recording.up.add(data);
                        }
                    }
                }
                return let_go(request, recording, Some(intercepted));
            }
        };
        pause(delay).await;
        if !request.admitted {
            recording.status = Some(407);
            recording.outcome = Outcome::Refused;
            return Ok(ask_for_credentials());
        }
        if request.form == Form::Connect || Builtin::opens_websocket(&request) {
            return let_go(request, recording, None);
        }
        let (recording, message) = counted::count_request(recording, message);
        let answer = match Builtin::named(&request.target.host) {
            Some(builtin) => builtin.answer(message, &self.name).await,
            None => forward::forward(&request.target, message, connect).await,
        };
        Ok(counted::count_answer(recording, answer))
    }
}

/// A login by NTLM or Negotiate stays: whoever asks for a page later on the same connection is taken for who has logged in on it, as by a
/// server of the Windows kind behind a proxy that is bound to it from then on.
fn stay_logged_in(logged_in: &Mutex<Option<String>>, request: &mut ProxyRequest) {
    if request.form == Form::Absolute && request.admitted {
        let mut logged_in = logged_in.lock().unwrap_or_else(PoisonError::into_inner);
        *logged_in = request.served_as.take().or_else(|| logged_in.take());
        request.served_as.clone_from(&logged_in);
    }
}

fn ask_for_credentials() -> Response<Body> {
    let mut answer = text(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "proxy credentials needed\n");
    answer.headers_mut().insert(PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"mock-upstreams\""));
    answer
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
