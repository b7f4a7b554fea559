//! Forwards plain HTTP: a request in absolute-form goes to its target in origin-form.

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

/// Sends `request` to `target` on a connection of its own. Returns the answer while its body is still on the way.
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
    let mut task: ConnectionTask = Some(Box::pin(async move {
        // A failure here also fails the request or the body, where it is reported.
        let _ = connection.await;
    }));
    let mut answer = Box::pin(sender.send_request(origin_form(request)?));
    let answer = poll_fn(|cx| {
        poll_task(&mut task, cx);
        answer.as_mut().poll(cx)
    })
    .await?;
    let (mut head, body) = answer.into_parts();
    strip_hop_by_hop(&mut head.headers);
    Ok(Response::from_parts(head, BodyWithConnection { body, task }.map_err(BoxError::from).boxed_unsync()))
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

/// Removes the fields that belong to one connection (RFC 9110 section 7.6.1), and those that `Connection` names.
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

/// The task that runs the connection to the target. Whoever waits for the answer polls it, so nothing is spawned.
type ConnectionTask = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

fn poll_task(running: &mut ConnectionTask, cx: &mut Context<'_>) {
    if let Some(task) = running
        && task.as_mut().poll(cx).is_ready()
    {
        *running = None;
    }
}

/// The body of an answer, together with the connection that it comes on.
struct BodyWithConnection {
    body: Incoming,
    task: ConnectionTask,
}

impl HttpBody for BodyWithConnection {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        poll_task(&mut this.task, cx);
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
