//! Counts bodies in the record of their request as they pass.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::{Method, Request, Response, StatusCode};

use super::body::{Body, BoxError, text};
use crate::journal::{Outcome, Recording};

/// A recording that both bodies of one exchange count into. It is written down when the last of them is dropped.
#[derive(Clone)]
pub(crate) struct SharedRecording {
    recording: Arc<Mutex<Recording>>,
    head_only: bool,
}

impl SharedRecording {
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
enum Direction {
    Up,
    Down,
}

/// A body that is counted as it passes.
pub(crate) struct Counted<B> {
    body: B,
    shared: SharedRecording,
    direction: Direction,
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
            this.shared.with(|recording| match this.direction {
                Direction::Up => recording.up.add(data),
                Direction::Down => recording.down.add(data),
            });
        }
        let over = matches!(frame, Poll::Ready(None)) || this.body.is_end_stream();
        if over && matches!(this.direction, Direction::Down) {
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

/// Counts the request's body in `recording`.
pub(crate) fn count_request(
    recording: Recording,
    request: Request<Incoming>,
) -> (SharedRecording, Request<Counted<Incoming>>) {
    let head_only = request.method() == Method::HEAD;
    let shared = SharedRecording { recording: Arc::new(Mutex::new(recording)), head_only };
    let body = shared.clone();
    (shared, request.map(|incoming| Counted { body: incoming, shared: body, direction: Direction::Up }))
}

/// Counts the answer's body. An `Err` means that the target could not be reached, and becomes a 502.
pub(crate) fn count_answer(shared: SharedRecording, answer: Result<Response<Body>, BoxError>) -> Response<Body> {
    let answer = answer.unwrap_or_else(|error| {
        shared.with(|recording| recording.outcome = Outcome::Unreachable);
        text(StatusCode::BAD_GATEWAY, &format!("{error}\n"))
    });
    shared.with(|recording| recording.status = Some(answer.status().as_u16()));
    if answer.body().is_end_stream() || shared.head_only {
        shared.complete();
    }
    answer.map(|body| Counted { body, shared, direction: Direction::Down }.boxed_unsync())
}
