//! Tests that the relay flushes what a stream holds back, and when it has a peer watched.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

thread_local! {
    static WATCHED: Cell<usize> = const { Cell::new(0) };
}

impl Duplex for DuplexStream {
    fn abort(self) {}

    fn watch(&self) {
        WATCHED.set(WATCHED.get() + 1);
    }
}

/// Holds back what is written until it is told to flush, as TLS may.
impl Duplex for BufStream<DuplexStream> {
    fn abort(self) {}
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_holds_back_is_flushed_when_the_source_pauses() {
    let (client, mut outside) = duplex(64);
    let (upstream, mut target) = duplex(64);
    let second = Duration::from_secs(1);
    let limits = RelayLimits { idle: second, half_closed: second };
    let relay = relay_buffered(
        client,
        BufStream::new(upstream),
        Early::default(),
        limits,
        Arc::<Traffic>::default(),
        Stop::new(),
    );
    let dialogue = async {
        for _ in 0..3 {
            outside.write_all(b"ping").await.unwrap();
            let mut heard = [0; 4];
            target.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"ping");
        }
    };
    tokio::select! {
        biased;
        end = relay => panic!("nothing came through: {end:?}"),
        () = dialogue => {}
    }
}

/// A relay whose first poll is another task's, which is gone then.
fn polled_elsewhere(idle: Duration, stop: &Stop) -> (Pin<Box<impl Future<Output = Relayed>>>, [DuplexStream; 2]) {
    let ((client, outside), (upstream, target)) = (duplex(64), duplex(64));
    let limits = RelayLimits { idle, half_closed: idle };
    let mut relay =
        Box::pin(relay_buffered(client, upstream, Early::default(), limits, Arc::<Traffic>::default(), stop.clone()));
    assert!(relay.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    (relay, [outside, target])
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_another_task_takes_over_hears_its_time_and_the_stop_signal() {
    let (second, stop) = (Duration::from_secs(1), Stop::new());
    let (relay, _ends) = polled_elsewhere(second, &stop);
    let relayed = timeout(10 * second, relay).await.expect("the relay did not hear that its time was over");
    assert_eq!(relayed.end, RelayEnd::Idle);

    let (relay, _ends) = polled_elsewhere(100 * second, &stop);
    let start = Instant::now();
    let (relayed, ()) = tokio::join!(relay, async { stop.fire() });
    assert_eq!((relayed.end, start.elapsed()), (RelayEnd::Stopped, Duration::ZERO), "heard by its time-out alone");
}

#[tokio::test(start_paused = true)]
async fn the_peers_of_a_tunnel_are_watched_once_it_is_no_longer_young() {
    for (lasts, watched) in [(YOUNG - Duration::from_secs(1), 0), (YOUNG * 5, 2)] {
        let (client, outside) = duplex(64);
        let (upstream, target) = duplex(64);
        let limits = RelayLimits { idle: YOUNG * 3, half_closed: YOUNG };
        WATCHED.set(0);
        let relay = relay_buffered(client, upstream, Early::default(), limits, Arc::<Traffic>::default(), Stop::new());
        let _ = timeout(lasts, relay).await;
        assert_eq!(WATCHED.get(), watched, "after {lasts:?}");
        drop((outside, target));
    }
}

/// Counts how often it is shut down; dropped, it ends as well.
struct EndsWhenDropped(DuplexStream, Arc<AtomicUsize>);

impl Duplex for EndsWhenDropped {
    const ENDS_WHEN_DROPPED: bool = true;

    fn abort(self) {}
}

impl AsyncRead for EndsWhenDropped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for EndsWhenDropped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_at_once_is_not_shut_down_before() {
    let ((client, mut outside), (upstream, mut target)) = (duplex(64), duplex(64));
    let (of_client, of_upstream) = (Arc::default(), Arc::default());
    let minute = Duration::from_secs(60);
    let relay = relay_buffered(
        EndsWhenDropped(client, Arc::clone(&of_client)),
        EndsWhenDropped(upstream, Arc::clone(&of_upstream)),
        Early::default(),
        RelayLimits { idle: minute, half_closed: minute },
        Arc::<Traffic>::default(),
        Stop::new(),
    );
    let ends = async {
        outside.shutdown().await.unwrap();
        assert_eq!(target.read(&mut [0]).await.unwrap(), 0);
        target.write_all(b"bye").await.unwrap();
        drop(target);
        let mut heard = Vec::new();
        outside.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"bye");
    };
    let (relayed, ()) = tokio::join!(relay, ends);
    assert_eq!(relayed.end, RelayEnd::Closed);
    assert_eq!([of_client, of_upstream].map(|count: Arc<AtomicUsize>| count.load(Ordering::Relaxed)), [0, 1]);
}
