//! What takes time, under paused time.

use std::io::{self, ErrorKind};
use std::pin::Pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::Instant;

use super::*;
use crate::http::body::{BodyCodec, BodyRules};
use crate::http::head::{Fields, Kind};

const LIMITS: HeadLimits = HeadLimits { max_bytes: 16 * 1024, max_fields: 100 };
const REPLY: Limit = Limit { span: Duration::from_secs(30), failure: Failure::ReplyTimeout };
const BOUNDS: Bounds = Bounds { reply: REPLY, stall: Duration::from_secs(60), limits: LIMITS };
const HEAD: &[u8] = b"POST http://a.test/ HTTP/1.1\r\n\r\n";

/// Exchanges a POST with a body of five bytes; returns how it ended and whether the client was told to go ahead.
async fn post(
    client: DuplexStream,
    leg: (impl AsyncRead + AsyncWrite + Unpin, bool),
) -> (Result<Reply, ExchangeError>, bool) {
    post_behind(Inbox::default(), client, leg).await
}

/// As [`post`]; what was read with the client's head stands in `inbox`.
async fn post_behind(
    mut inbox: Inbox,
    mut client: DuplexStream,
    (mut leg, expects_continue): (impl AsyncRead + AsyncWrite + Unpin, bool),
) -> (Result<Reply, ExchangeError>, bool) {
    let rules = BodyRules::new(Kind::Request, &Fields::new(), LIMITS);
    let mut upload = Carry::new(BodyCodec::new(Framing::Length(5), rules));
    let (mut leg_inbox, mut go_ahead) = (Inbox::default(), GoAhead::default());
    let sent = Counter::default();
    let mut deadline = Deadline::default();
    let side = Client {
        stream: &mut client,
        inbox: &mut inbox,
        upload: &mut upload,
        go_ahead: &mut go_ahead,
        sent: &sent,
        deadline: &mut deadline,
    };
    let method = Method::new("POST").unwrap();
    let asked = Asked { method: &method, upgrade: false, expects_continue, interim: None };
    let done = exchange(side, (&mut leg, &mut leg_inbox), HEAD.into(), asked, BOUNDS).await;
    (done, go_ahead.given)
}

async fn head(stream: &mut DuplexStream) {
    let mut head = vec![0; HEAD.len()];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head, HEAD);
}

#[tokio::test(start_paused = true)]
async fn a_body_waits_no_longer_than_stated_for_an_upstream_that_never_says_100() {
    let ((mut client, ours), (leg, mut upstream)) = (duplex(4096), duplex(4096));
    let started = Instant::now();
    let answers = async {
        head(&mut upstream).await;
        let mut go_ahead = vec![0; CONTINUE.len()];
        client.read_exact(&mut go_ahead).await.unwrap();
        assert_eq!(go_ahead, CONTINUE);
        assert_eq!(started.elapsed(), CONTINUE_WAIT);
        client.write_all(b"hello").await.unwrap();
        let mut body = [0; 5];
        upstream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"hello");
        upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        (client, upstream)
    };
    let ((done, _), _) = tokio::join!(post(ours, (leg, true)), answers);
    assert_eq!(done.ok().unwrap().head.status, 204);
}

#[tokio::test(start_paused = true)]
async fn no_byte_of_a_withheld_body_is_taken_before_the_wait_is_over() {
    let ((mut client, ours), (leg, mut upstream)) = (duplex(4096), duplex(4096));
    client.write_all(b"hello").await.unwrap();
    let answers = async {
        head(&mut upstream).await;
        tokio::time::sleep(CONTINUE_WAIT - Duration::from_millis(1)).await;
        upstream.write_all(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        upstream
    };
    let ((done, given), mut upstream) = tokio::join!(post(ours, (leg, true)), answers);
    let reply = done.ok().unwrap();
    assert_eq!((reply.head.status, reply.takes_body, given), (417, false, false));
    let mut rest = Vec::new();
    upstream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_body_is_given_up_on_and_the_upstream_not_blamed() {
    let ((_client, ours), (leg, _upstream)) = (duplex(4096), duplex(4096));
    let started = Instant::now();
    let (done, _) = post(ours, (leg, false)).await;
    assert!(matches!(done, Err(ExchangeError::BodyTimeout)));
    assert_eq!(started.elapsed(), BOUNDS.stall);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_takes_no_body_is_given_up_on_and_the_client_not_blamed() {
    // The upstream's buffer holds the head and not one byte more.
    let ((mut client, ours), (leg, _upstream)) = (duplex(4096), duplex(HEAD.len()));
    client.write_all(b"hello").await.unwrap();
    let started = Instant::now();
    let (done, _) = post(ours, (leg, false)).await;
    assert!(matches!(done, Err(ExchangeError::Upstream(failed)) if failed.failure == Failure::ReplyTimeout));
    assert_eq!(started.elapsed(), BOUNDS.stall);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_takes_not_even_the_head_is_given_up_on_and_the_client_not_blamed() {
    let ((_client, ours), (leg, _upstream)) = (duplex(4096), duplex(HEAD.len() - 1));
    let (done, _) = post(ours, (leg, false)).await;
    assert!(matches!(done, Err(ExchangeError::Upstream(failed)) if failed.failure == Failure::ReplyTimeout));
}

#[tokio::test(start_paused = true)]
async fn the_reply_is_waited_for_from_the_bodys_last_byte() {
    let ((mut client, ours), (leg, _upstream)) = (duplex(4096), duplex(4096));
    let started = Instant::now();
    let sends = async {
        tokio::time::sleep(Duration::from_secs(50)).await;
        client.write_all(b"hello").await.unwrap();
        client
    };
    let ((done, _), _client) = tokio::join!(post(ours, (leg, false)), sends);
    assert!(matches!(done, Err(ExchangeError::Upstream(failed)) if failed.failure == Failure::ReplyTimeout));
    assert_eq!(started.elapsed(), Duration::from_secs(50) + REPLY.span);
}

/// A connection that takes nothing. Where its reset has been told to a writer, a reader finds an end; else one waits.
struct TakesNothing {
    is_reset: bool,
}

impl AsyncRead for TakesNothing {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_reset { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl AsyncWrite for TakesNothing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_that_a_write_has_met_is_no_orderly_end() {
    let (_client, ours) = duplex(4096);
    let (ended, _) = post(ours, (TakesNothing { is_reset: true }, false)).await;
    assert!(matches!(ended, Err(ExchangeError::Upstream(failed)) if failed.failure == Failure::ResetBeforeHead));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_refuses_the_body_has_a_replys_time_to_say_why() {
    let (_client, ours) = duplex(4096);
    let started = Instant::now();
    let (ended, _) = post(ours, (TakesNothing { is_reset: false }, false)).await;
    assert!(matches!(ended, Err(ExchangeError::Upstream(failed)) if failed.failure == Failure::ReplyTimeout));
    assert_eq!(started.elapsed(), REPLY.span);
}

/// A connection that takes one write, and nothing after that.
struct TakesOneWrite(Vec<u8>);

impl AsyncRead for TakesOneWrite {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for TakesOneWrite {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.0.is_empty() {
            return Poll::Pending;
        }
        self.0 = bytes.to_vec();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_came_with_its_head_leaves_with_it() {
    let (_client, ours) = duplex(4096);
    let (mut inbox, mut leg) = (Inbox::default(), TakesOneWrite(Vec::new()));
    inbox.bytes.extend_from_slice(b"hello");
    let _ = post_behind(inbox, ours, (&mut leg, false)).await;
    assert_eq!(leg.0, [HEAD, b"hello"].concat());
}

#[tokio::test(start_paused = true)]
async fn a_withheld_body_goes_at_the_upstreams_100_and_at_no_other_interim_answer() {
    for (interim, waited) in [("100 Continue", Duration::ZERO), ("103 Early Hints", CONTINUE_WAIT)] {
        let ((mut client, ours), (leg, mut upstream)) = (duplex(4096), duplex(4096));
        client.write_all(b"hello").await.unwrap();
        let started = Instant::now();
        let answers = async {
            head(&mut upstream).await;
            upstream.write_all(format!("HTTP/1.1 {interim}\r\n\r\n").as_bytes()).await.unwrap();
            upstream.read_exact(&mut [0; 5]).await.unwrap();
            assert_eq!(started.elapsed(), waited, "{interim}");
            upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            upstream
        };
        let ((done, _), _upstream) = tokio::join!(post(ours, (leg, true)), answers);
        assert_eq!(done.ok().unwrap().head.status, 204);
    }
}

#[test]
fn interim_answers_that_a_slow_client_has_not_taken_wait_up_to_a_limit() {
    let mut go_ahead = GoAhead::default();
    let mut pass_on = |length| {
        go_ahead.pass_on(&vec![b'x'; length], 10);
        go_ahead.unsent.len()
    };
    assert_eq!([11, 6, 5, 4, 1].map(&mut pass_on), [0, 6, 6, 10, 10]);
}
