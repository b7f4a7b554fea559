//! `echo.mock`.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::stream::pump;

pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let (mut from, mut to) = tokio::io::split(stream);
    pump(&mut from, &mut to).await
}
