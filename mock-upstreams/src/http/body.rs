//! Defines the type of the bodies that hyper gets from the mocks, and makes answers that are ready at once.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// The error of any body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body of any kind.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// An answer with a short plain text.
pub(crate) fn text(status: StatusCode, text: &str) -> Response<Body> {
    bytes(status, "text/plain; charset=utf-8", text.to_owned().into())
}

/// An answer with a whole body.
pub(crate) fn bytes(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Full::new(body).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
