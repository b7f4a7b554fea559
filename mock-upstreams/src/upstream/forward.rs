//! Plain HTTP: a request in absolute-form goes to its target in origin-form, bodies streamed and counted both ways.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::http::body::{Body, BoxError};
use crate::http::counted::Counted;
use crate::request::Target;

/// Sends `request` to `target` on a connection of its own and returns the answer while its body is still coming.
pub(crate) async fn forward<C, F, T>(
    target: &Target,
    request: Request<Counted<Incoming>>,
    connect: &C,
) -> Result<Response<Body>, BoxError>
where
    C: Fn(Target) -> F,
    F: Future<Output = io::Result<T>>,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if target.host.ends_with(".mock") {
        return Err(format!("{}: no such built-in target", target.host).into());
    }
    let stream = connect(target.clone()).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver: Driver = Some(Box::pin(async move {
        // What fails here fails in the request or the body as well.
        let _ = connection.await;
    }));
    let mut answer = Box::pin(sender.send_request(origin_form(request)?));
    let answer = poll_fn(|cx| {
        drive(&mut driver, cx);
        answer.as_mut().poll(cx)
    })
    .await?;
    let (mut head, body) = answer.into_parts();
    strip_hop_by_hop(&mut head.headers);
    Ok(Response::from_parts(head, Driven { body, driver }.map_err(BoxError::from).boxed_unsync()))
}

fn origin_form(request: Request<Counted<Incoming>>) -> Result<Request<Counted<Incoming>>, BoxError> {
    let (mut head, body) = request.into_parts();
    let host = head.uri.authority().map(|authority| HeaderValue::from_str(authority.as_str())).transpose()?;
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse()?;
    strip_hop_by_hop(&mut head.headers);
    if let Some(host) = host {
        head.headers.insert(header::HOST, host);
    }
    Ok(Request::from_parts(head, body))
}

/// Fields that belong to one connection (RFC 9110 section 7.6.1), and those that `Connection` names.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in
        [header::CONNECTION, header::PROXY_AUTHORIZATION, header::PROXY_AUTHENTICATE, header::TE, header::UPGRADE]
    {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

/// The task of a client connection, run by whoever waits for its answer: nothing is spawned.
type Driver = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

fn drive(driver: &mut Driver, cx: &mut Context<'_>) {
    if let Some(task) = driver
        && task.as_mut().poll(cx).is_ready()
    {
        *driver = None;
    }
}

/// A response body that runs its own connection.
struct Driven {
    body: Incoming,
    driver: Driver,
}

impl HttpBody for Driven {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        drive(&mut this.driver, cx);
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
