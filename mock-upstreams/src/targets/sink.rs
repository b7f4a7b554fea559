//! `sink.mock`: swallows everything, and answers `<bytes> <checksum>` once the client has ended its side.

use std::io;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::checksum::Transferred;
use crate::http::body::{Body, BoxError, text};
use crate::http::counted::Counted;

pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut transferred = Transferred::EMPTY;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        transferred.add(&buffer[..count]);
    }
    stream.write_all(summary(&transferred).as_bytes()).await?;
    stream.shutdown().await
}

pub(super) async fn answer(mut request: Request<Counted<Incoming>>) -> Result<Response<Body>, BoxError> {
    let mut transferred = Transferred::EMPTY;
    while let Some(frame) = request.body_mut().frame().await {
        if let Some(data) = frame?.data_ref() {
            transferred.add(data);
        }
    }
    Ok(text(StatusCode::OK, &summary(&transferred)))
}

fn summary(transferred: &Transferred) -> String {
    format!("{} {}\n", transferred.bytes, transferred.checksum)
}
