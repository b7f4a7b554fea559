//! Tests that the relay flushes what a stream holds back.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream, DuplexStream, duplex};

use super::*;

impl Duplex for DuplexStream {
    fn abort(self) {}
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
    let relay = relay_buffered(client, BufStream::new(upstream), Early::default(), limits, Arc::default(), Stop::new());
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
