//! Targets that live inside the upstream, so that demos and tests need no internet.
//!
//! A target is chosen by the end of its name; labels in front of it carry a request id and settings:
//! `r8f3.n1048576.source.mock`.

mod echo;
mod http;
mod pattern;
mod sink;
mod slow;
mod source;
pub mod tls;
pub mod websocket;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::upstream::forward::Counted;
use crate::stream::pause;

pub use pattern::{pattern, tally_of_pattern};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Any body.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A built-in target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// `echo.mock`: sends back what it gets.
    Echo,
    /// `http.mock`: a web server.
    Http,
    /// `source.mock`, `n1000.source.mock`: sends that many bytes of a known pattern.
    Source {
        /// How many.
        bytes: u64,
    },
    /// `sink.mock`: swallows everything, then says how many bytes it was and their checksum.
    Sink,
    /// `tls.mock`: `http.mock` over TLS, with a certificate made at start.
    Tls,
    /// `websocket.mock`: a WebSocket that echoes messages.
    Websocket,
    /// `slow.mock`, `d250.slow.mock`: `echo.mock` that waits before each answer.
    Slow {
        /// How long.
        delay: Duration,
    },
}

/// What `source.mock` sends where its name has no `n…` label.
const DEFAULT_SOURCE_BYTES: u64 = 65_536;

/// How long `slow.mock` waits where its name has no `d…` label.
const DEFAULT_SLOW: Duration = Duration::from_secs(1);

impl Builtin {
    /// The target of that name; `None`: not a built-in one.
    pub fn named(host: &str) -> Option<Self> {
        let labels = host.strip_suffix(".mock")?;
        let (settings, kind) = labels.rsplit_once('.').unwrap_or(("", labels));
        let number = |letter: char| settings.split('.').find_map(|label| label.strip_prefix(letter)?.parse().ok());
        Some(match kind {
            "echo" => Builtin::Echo,
            "http" => Builtin::Http,
            "source" => Builtin::Source { bytes: number('n').unwrap_or(DEFAULT_SOURCE_BYTES) },
            "sink" => Builtin::Sink,
            "tls" => Builtin::Tls,
            "websocket" => Builtin::Websocket,
            "slow" => Builtin::Slow { delay: number('d').map_or(DEFAULT_SLOW, Duration::from_millis) },
            _ => return None,
        })
    }

    /// Is the far end of a tunnel until both sides have ended.
    ///
    /// # Errors
    /// The stream failed, or what came over it was not what the target speaks.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(self, stream: &mut S, upstream: &str) -> io::Result<()> {
        match self {
            Builtin::Echo => echo::run(stream).await,
            Builtin::Http => http::serve(stream, upstream).await,
            Builtin::Source { bytes } => source::run(stream, bytes).await,
            Builtin::Sink => sink::run(stream).await,
            Builtin::Tls => tls::serve(stream, upstream).await,
            Builtin::Websocket => websocket::serve(stream).await,
            Builtin::Slow { delay } => slow::run(stream, delay).await,
        }
    }

    /// Answers a request in absolute-form.
    pub(crate) async fn answer(
        self,
        request: Request<Counted<Incoming>>,
        upstream: &str,
    ) -> Result<Response<Body>, BoxError> {
        match self {
            Builtin::Echo => http::echo(request).await,
            Builtin::Http => http::answer(request, upstream).await,
            Builtin::Source { bytes } => Ok(source::answer(bytes)),
            Builtin::Sink => sink::answer(request).await,
            Builtin::Tls => Ok(text(StatusCode::BAD_REQUEST, "tls.mock speaks TLS only: use CONNECT\n")),
            Builtin::Websocket => Ok(websocket::no_opening()),
            Builtin::Slow { delay } => {
                pause(delay).await;
                http::echo(request).await
            }
        }
    }
}

/// A short plain text.
pub(crate) fn text(status: StatusCode, text: &str) -> Response<Body> {
    bytes(status, "text/plain; charset=utf-8", text.to_owned().into())
}

/// A whole body at once.
pub(crate) fn bytes(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Full::new(body).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// hyper as every double uses it: no clock of its own, half-closed clients are answered.
pub(crate) fn http_server() -> http1::Builder {
    let mut server = http1::Builder::new();
    server.half_close(true).auto_date_header(false).header_read_timeout(None);
    server
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_in_front_of_the_name_are_settings() {
        let named = |host| Builtin::named(host);
        assert_eq!(named("echo.mock"), Some(Builtin::Echo));
        assert_eq!(named("r1.n7.source.mock"), Some(Builtin::Source { bytes: 7 }));
        assert_eq!(named("source.mock"), Some(Builtin::Source { bytes: DEFAULT_SOURCE_BYTES }));
        assert_eq!(named("d20.slow.mock"), Some(Builtin::Slow { delay: Duration::from_millis(20) }));
        for foreign in ["example.com", "echo.mock.com", "other.mock", "mock"] {
            assert_eq!(named(foreign), None, "{foreign}");
        }
    }
}
