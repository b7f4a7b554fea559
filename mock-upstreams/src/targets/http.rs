//! `http.mock`: a web server whose paths choose the answer. README.md lists them.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{self, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::pattern::{PatternBody, transferred_of_pattern};
use crate::http::body::{Body, BoxError, bytes, text};
use crate::http::server::http_server;
use crate::stream::pause;

/// Serves HTTP on `stream` until the connection ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, upstream: &str) -> io::Result<()> {
    let service = service_fn(|request: Request<Incoming>| Box::pin(answer(request, upstream)) as Pin<Box<_>>);
    let mut http = http_server().serve_connection(TokioIo::new(&mut *stream), service);
    poll_fn(|cx| http.poll_without_shutdown(cx)).await.map_err(io::Error::other)?;
    drop(http);
    stream.shutdown().await
}

/// Answers one request by its path.
pub(super) async fn answer<B>(request: Request<B>, upstream: &str) -> Result<Response<Body>, BoxError>
where
    B: HttpBody<Data = bytes::Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    let path = request.uri().path().to_owned();
    let (name, argument) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let number = argument.parse::<u64>().ok();
    let answer = match (name, number) {
        ("", _) => text(StatusCode::OK, "netdrift mock\n"),
        ("ip", _) => text(StatusCode::OK, &format!("{upstream}\n")),
        ("bytes", Some(length)) => of_pattern(PatternBody::new(length)),
        ("chunked", Some(length)) => of_pattern(PatternBody { sized: false, ..PatternBody::new(length) }),
        ("trailers", _) => with_trailers(number.unwrap_or(1000)),
        ("status", Some(code)) => of_status(code),
        ("delay", Some(millis)) => {
            pause(Duration::from_millis(millis)).await;
            text(StatusCode::OK, &format!("after {millis} ms\n"))
        }
        ("headers", _) => bytes(StatusCode::OK, "application/json", head_as_json(&request).into()),
        ("echo", _) => return echo(request).await,
        // The body is not read, so a client that waits for 100 (Continue) never gets it.
        ("expect", _) => text(StatusCode::EXPECTATION_FAILED, "no\n"),
        ("close", _) => closing(),
        _ => text(StatusCode::NOT_FOUND, "http.mock knows no such path\n"),
    };
    Ok(answer)
}

fn of_pattern(body: PatternBody) -> Response<Body> {
    let mut answer = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    answer
}

fn with_trailers(length: u64) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    let checksum = transferred_of_pattern(length).checksum.to_string();
    if let Ok(checksum) = HeaderValue::from_str(&checksum) {
        trailers.insert("x-checksum", checksum);
    }
    let mut answer = of_pattern(PatternBody { sized: false, trailers: Some(trailers), ..PatternBody::new(length) });
    answer.headers_mut().insert(header::TRAILER, HeaderValue::from_static("x-checksum"));
    answer
}

fn of_status(code: u64) -> Response<Body> {
    let status = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    match status.filter(|status| !status.is_informational()) {
        Some(status) if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED => {
            let mut answer = of_pattern(PatternBody::new(0));
            *answer.status_mut() = status;
            answer
        }
        Some(status) => text(status, &format!("{status}\n")),
        None => text(StatusCode::NOT_FOUND, "/status/N takes 200 to 999\n"),
    }
}

fn closing() -> Response<Body> {
    let mut answer = text(StatusCode::OK, "closing\n");
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Sends the request's body back, and its trailers to who wants trailers. The answer begins once the first part of the body is there, so that a client that waits
/// for 100 (Continue) gets it.
pub(super) async fn echo<B>(request: Request<B>) -> Result<Response<Body>, BoxError>
where
    B: HttpBody<Data = bytes::Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    let copied = [CONTENT_TYPE, header::TRAILER].map(|name| (request.headers().get(&name).cloned(), name));
    let mut body = request.into_body();
    let first = body.frame().await.transpose().map_err(Into::into)?;
    let mut answer = Response::new(Resumed { first, body }.map_err(Into::into).boxed_unsync());
    for (value, name) in copied {
        if let Some(value) = value {
            answer.headers_mut().insert(name, value);
        }
    }
    Ok(answer)
}

/// A body whose first frame has been read already.
struct Resumed<B> {
    first: Option<Frame<bytes::Bytes>>,
    body: B,
}

impl<B: HttpBody<Data = bytes::Bytes> + Unpin> HttpBody for Resumed<B> {
    type Data = bytes::Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<bytes::Bytes>, B::Error>>> {
        let this = self.get_mut();
        match this.first.take() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut this.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        self.body.size_hint().exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(first + rest))
    }
}

/// Shows the head of a request. Credentials for the upstream are shown as `***`, since secrets are never printed.
fn head_as_json<B>(request: &Request<B>) -> String {
    let headers: Vec<[String; 2]> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            let secret = name == header::PROXY_AUTHORIZATION;
            let value = if secret { "***".into() } else { String::from_utf8_lossy(value.as_bytes()) };
            [name.to_string(), value.into_owned()]
        })
        .collect();
    let json = serde_json::json!({
        "method": request.method().as_str(),
        "uri": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "headers": headers,
    });
    format!("{json}\n")
}
