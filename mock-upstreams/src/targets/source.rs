//! `source.mock`: sends a known number of bytes of a known pattern.

use std::io;

use http_body_util::BodyExt;
use hyper::Response;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::pattern::{Chunks, PatternBody};
use crate::http::body::Body;

/// Sends the bytes, ends its side, then waits for the client's end.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, bytes: u64) -> io::Result<()> {
    let (mut from, mut to) = tokio::io::split(stream);
    let send = async {
        for chunk in Chunks::new(bytes) {
            to.write_all(&chunk).await?;
        }
        to.shutdown().await
    };
    // Reading goes on meanwhile: a client that sends before it reads would be stuck otherwise.
    tokio::try_join!(send, async { tokio::io::copy(&mut from, &mut tokio::io::sink()).await })?;
    Ok(())
}

pub(super) fn answer(bytes: u64) -> Response<Body> {
    Response::new(PatternBody::new(bytes).map_err(|never| match never {}).boxed_unsync())
}
