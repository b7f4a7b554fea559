//! Reads the replies of an upstream to one request: interim responses, then the final one.

use std::io;
use std::task::{Context, Poll, ready};

use thiserror::Error;
use tokio::io::AsyncRead;

use crate::http::head::{HeadError, HeadLimits, Kind, ResponseHead};
use crate::http::inbox::Inbox;

/// How many interim responses (1xx) may precede a final one. Deadlines limit only the time that they take.
const MAX_INTERIM: usize = 16;

/// Why there is no further reply.
#[derive(Debug, Error)]
pub(crate) enum ReplyError {
    /// It is not an HTTP/1 reply, or it could be read in more than one way.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The first bytes show that this will not become an HTTP/1 reply.
    #[error("no HTTP/1 reply")]
    OtherProtocol,
    /// The first bytes are those of TLS, which a server sends that was spoken to without.
    #[error("speaks TLS on an http:// port")]
    Tls,
    /// There were more than [`MAX_INTERIM`] interim responses.
    #[error("more than {MAX_INTERIM} interim replies")]
    TooManyInterim,
    /// The connection ended between two replies, or before the first.
    #[error("the connection ended before the reply")]
    Closed,
    /// The connection ended within the head of a reply.
    #[error("the connection ended within the reply's head")]
    Cut,
    /// The connection failed between two replies, or before the first.
    #[error("the connection failed before the reply: {0}")]
    Failed(io::Error),
}

/// Reads the replies to one request.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    interim: usize,
}

impl Replies {
    /// Reads the head of the next reply.
    ///
    /// # Errors
    /// There is no next reply, or it can't be read.
    pub(crate) fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        (stream, inbox): (&mut S, &mut Inbox),
        limits: HeadLimits,
    ) -> Poll<Result<ResponseHead, ReplyError>> {
        loop {
            if begins_like_tls(&inbox.bytes) {
                return Poll::Ready(Err(ReplyError::Tls));
            }
            if let Some(head) = inbox.take_head(limits, Kind::Response, |head| head.response(limits))? {
                let head = head?;
                self.interim += usize::from(head.is_interim());
                if self.interim > MAX_INTERIM {
                    return Poll::Ready(Err(ReplyError::TooManyInterim));
                }
                return Poll::Ready(Ok(head));
            }
            // If this can't become a reply, don't wait for more: the peer may speak another protocol and wait for us.
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

/// Whether these are the first bytes of an alert or of a handshake: its kind, then the version, which is 3 and something.
fn begins_like_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 3, ..])
}

/// Whether an HTTP/1 reply, or the empty line that may precede one, may begin with these bytes.
fn begins_like_a_reply(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    bytes == b"\r" || bytes.iter().zip(b"HTTP/1.").all(|(got, wanted)| got == wanted)
}
