//! The replies to one request as they come from an upstream: interim ones, then the final one.

use std::io;
use std::task::{Context, Poll, ready};

use thiserror::Error;
use tokio::io::AsyncRead;

use crate::http::head::{HeadError, HeadLimits, Kind, ResponseHead, parse_response};
use crate::http::inbox::Inbox;

/// Interim replies (1xx) in front of a final one; deadlines bound them in time, this in number.
const MAX_INTERIM: usize = 16;

/// Why there is no further reply.
#[derive(Debug, Error)]
pub(crate) enum ReplyError {
    /// It is no HTTP/1 reply, or not one that can be read in one way only.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// What comes can't become one.
    #[error("no HTTP/1 reply")]
    OtherProtocol,
    /// Beyond [`MAX_INTERIM`].
    #[error("more than {MAX_INTERIM} interim replies")]
    TooManyInterim,
    /// The connection ended between two replies, or before the first.
    #[error("the connection ended before the reply")]
    Closed,
    /// It ended within a reply's head.
    #[error("the connection ended within the reply's head")]
    Cut,
    /// It failed between two replies, or before the first.
    #[error("the connection failed before the reply: {0}")]
    Failed(io::Error),
}

/// Reads the replies to one request.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    interim: usize,
}

impl Replies {
    /// The head of the next one.
    ///
    /// # Errors
    /// There is none, or none that can be read.
    pub(crate) fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        (stream, inbox): (&mut S, &mut Inbox),
        limits: HeadLimits,
    ) -> Poll<Result<ResponseHead, ReplyError>> {
        loop {
            if let Some(head) = inbox.take_head(limits, Kind::Response)? {
                let head = parse_response(&head, limits)?;
                self.interim += usize::from(head.is_interim());
                if self.interim > MAX_INTERIM {
                    return Poll::Ready(Err(ReplyError::TooManyInterim));
                }
                return Poll::Ready(Ok(head));
            }
            // What can't become a reply is not waited for: whoever speaks another protocol may wait for us.
            if !begins_like_a_reply(&inbox.bytes) {
                return Poll::Ready(Err(ReplyError::OtherProtocol));
            }
            match ready!(inbox.poll_fill_head(cx, stream)) {
                Ok(1..) => {}
                Ok(_) if inbox.is_empty() => return Poll::Ready(Err(ReplyError::Closed)),
                Err(error) if inbox.is_empty() => return Poll::Ready(Err(ReplyError::Failed(error))),
                Ok(_) | Err(_) => return Poll::Ready(Err(ReplyError::Cut)),
            }
        }
    }
}

/// Whether these first bytes may be those of an HTTP/1 reply, or of the empty line that may stand before one.
fn begins_like_a_reply(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    bytes == b"\r" || bytes.iter().zip(b"HTTP/1.").all(|(got, wanted)| got == wanted)
}
