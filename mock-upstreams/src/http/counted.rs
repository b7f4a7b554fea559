//! Bodies that are counted into the journal's record of their request as they pass.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::{Method, Request, Response, StatusCode};

use super::body::{Body, BoxError, text};
use crate::journal::{Outcome, Recording};

/// A recording that both bodies of an exchange write into; the last one to go writes it down.
#[derive(Clone)]
pub(crate) struct Shared {
    recording: Arc<Mutex<Recording>>,
    head_only: bool,
}

impl Shared {
    fn with(&self, change: impl FnOnce(&mut Recording)) {
        change(&mut self.recording.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn complete(&self) {
        self.with(|recording| {
            if recording.outcome == Outcome::Aborted {
                recording.outcome = Outcome::Completed;
            }
        });
    }
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

/// A body that is counted as it passes.
pub(crate) struct Counted<B> {
    body: B,
    shared: Shared,
    way: Way,
}

impl<B> HttpBody for Counted<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.shared.with(|recording| match this.way {
                Way::Up => recording.up.add(data),
                Way::Down => recording.down.add(data),
            });
        }
        let over = matches!(frame, Poll::Ready(None)) || this.body.is_end_stream();
        if over && matches!(this.way, Way::Down) {
            this.shared.complete();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts the request's body into `recording`.
pub(crate) fn record(recording: Recording, request: Request<Incoming>) -> (Shared, Request<Counted<Incoming>>) {
    let head_only = request.method() == Method::HEAD;
    let shared = Shared { recording: Arc::new(Mutex::new(recording)), head_only };
    let body = shared.clone();
    (shared, request.map(|incoming| Counted { body: incoming, shared: body, way: Way::Up }))
}

/// Counts the answer's body; `Err` is a target that could not be reached.
pub(crate) fn record_answer(shared: Shared, answer: Result<Response<Body>, BoxError>) -> Response<Body> {
    let answer = answer.unwrap_or_else(|error| {
        shared.with(|recording| recording.outcome = Outcome::Unreachable);
        text(StatusCode::BAD_GATEWAY, &format!("{error}\n"))
    });
    shared.with(|recording| recording.status = Some(answer.status().as_u16()));
    if answer.body().is_end_stream() || shared.head_only {
        shared.complete();
    }
    answer.map(|body| Counted { body, shared, way: Way::Down }.boxed_unsync())
}
