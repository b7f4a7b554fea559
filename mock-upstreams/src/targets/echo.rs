//! `echo.mock`: sends back what it gets.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::stream::copy_to_end;

pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let (mut from, mut to) = tokio::io::split(stream);
    copy_to_end(&mut from, &mut to).await
}
