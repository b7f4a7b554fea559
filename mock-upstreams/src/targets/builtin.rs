//! The built-in targets: their names, and which one answers to which.

use std::io;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{echo, http, sink, slow, source, tls, websocket};
use crate::http::body::{Body, BoxError, text};
use crate::http::counted::Counted;
use crate::request::Asked;
use crate::stream::pause;

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

    /// Whether a forwarded request opens a WebSocket to a target of ours.
    pub(crate) fn opens_websocket(asked: &Asked) -> bool {
        asked.websocket_key.is_some() && Builtin::named(&asked.target.host) == Some(Builtin::Websocket)
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
