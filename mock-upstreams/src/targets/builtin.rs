//! Lists the built-in targets by name, and serves them.

use std::io;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{echo, http, sink, slow, source, tls, websocket};
use crate::http::body::{Body, BoxError, text};
use crate::http::counted::Counted;
use crate::request::ProxyRequest;
use crate::stream::pause;

/// A built-in target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// `echo.mock` sends back what it gets.
    Echo,
    /// `http.mock` is a web server.
    Http,
    /// `source.mock` sends bytes of a known pattern; `n1000.source.mock` sends 1000.
    Source {
        /// How many it sends.
        bytes: u64,
    },
    /// `sink.mock` swallows everything, then answers with the number of bytes and their checksum.
    Sink,
    /// `tls.mock` is `http.mock` over TLS, with a certificate of the authority of doubles.
    Tls,
    /// `websocket.mock` is a WebSocket that echoes frames.
    Websocket,
    /// `slow.mock` is an echo that waits before each answer; `d250.slow.mock` waits for 250 ms.
    Slow {
        /// How long it waits.
        delay: Duration,
    },
}

/// What `source.mock` sends where its name has no `n…` label.
const DEFAULT_SOURCE_BYTES: u64 = 65_536;

/// How long `slow.mock` waits where its name has no `d…` label.
const DEFAULT_SLOW: Duration = Duration::from_secs(1);

impl Builtin {
    /// Finds the target of that name. `None` means that none of the built-in targets has it.
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

    /// Serves a tunnel until both sides have ended. `upstream` is the name that `http.mock/ip` answers.
    ///
    /// # Errors
    /// The stream failed, or the client did not speak the protocol of the target.
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

    /// Whether `request` opens a WebSocket to `websocket.mock`.
    pub(crate) fn opens_websocket(request: &ProxyRequest) -> bool {
        request.websocket_key.is_some() && Builtin::named(&request.target.host) == Some(Builtin::Websocket)
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
            Builtin::Websocket => Ok(websocket::opening_needed()),
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
