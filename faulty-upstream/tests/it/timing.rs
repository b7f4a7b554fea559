//! Tests faults that are about time, under paused time: exact, and on no machine late.

use std::time::Duration;

use mock_upstreams::journal::{End, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::support::{ESTABLISHED, Pipe, connect_to, proofs, read_exactly, read_head, read_to_end};

const MS: Duration = Duration::from_millis(1);

proofs! {
    #[tokio::test(start_paused = true)]
    the_reply_comes_late_by_delay_and_jitter proves "reply-late" {
        let mut pipe = Pipe::open(r#"{"fault": "reply-late", "with": {"delay": "2s", "jitter": "1s"}}"#, 1000);
        let begun = Instant::now();
        pipe.client.write_all(connect_to("echo.mock:80").as_bytes()).await.unwrap();
        read_head(&mut pipe.client).await;
        assert!((2000 * MS..=3001 * MS).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        assert!(begun.elapsed() > 2000 * MS);
    }

    #[tokio::test(start_paused = true)]
    bytes_come_late_but_not_one_after_the_other proves "latency" {
        let entry = r#"{"fault": "latency", "with": {"delay": "100ms"}}"#;
        let mut pipe = Pipe::tunnel(entry, "echo.mock:80").await;
        let begun = Instant::now();
        pipe.client.write_all(b"a").await.unwrap();
        sleep(40 * MS).await;
        pipe.client.write_all(b"b").await.unwrap();
        assert_eq!(pipe.client.read_u8().await.unwrap(), b'a');
        assert_eq!(begun.elapsed(), 100 * MS);
        assert_eq!(pipe.client.read_u8().await.unwrap(), b'b');
        assert_eq!(begun.elapsed(), 140 * MS);
    }

    #[tokio::test(start_paused = true)]
    jitter_keeps_the_order_and_its_bounds proves "latency" {
        let entry = r#"{"fault": "latency", "with": {"way": "both", "delay": "10ms", "jitter": "50ms"}}"#;
        let mut pipe = Pipe::tunnel(entry, "echo.mock:80").await;
        let begun = Instant::now();
        for byte in 0..50 {
            pipe.client.write_u8(byte).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(read_exactly(&mut pipe.client, 50).await, (0..50).collect::<Vec<u8>>());
        assert!((20 * MS..=122 * MS).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    a_megabyte_takes_as_long_as_the_rate_says proves "bandwidth" {
        let entry = r#"{"fault": "bandwidth", "with": {"bytes_per_second": 100000}}"#;
        let mut pipe = Pipe::tunnel(entry, "n1000000.source.mock:80").await;
        let begun = Instant::now();
        pipe.client.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut pipe.client).await.len(), 1_000_000);
        // A timer has a millisecond's grain, and there is one wait per block of 4,096.
        assert!((10_000 * MS..=10_300 * MS).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    small_writes_have_gaps_between_them proves "slice" {
        let entry = r#"{"fault": "slice", "with": {"size": 2, "gap": "10ms"}}"#;
        let mut pipe = Pipe::tunnel(entry, "n6.source.mock:80").await;
        let begun = Instant::now();
        for at in [0, 10, 20] {
            let mut packet = [0; 100];
            assert_eq!(pipe.client.read(&mut packet).await.unwrap(), 2);
            assert_eq!(begun.elapsed(), at * MS);
        }
    }

    #[tokio::test(start_paused = true)]
    a_stalled_tunnel_is_closed_when_its_time_is_over proves "stall" {
        let entry = r#"{"fault": "stall", "with": {"after": 3, "hold": "7s"}}"#;
        let mut pipe = Pipe::tunnel(entry, "n6.source.mock:80").await;
        let begun = Instant::now();
        assert_eq!(read_to_end(&mut pipe.client).await, [0, 1, 2]);
        assert_eq!(begun.elapsed(), 7000 * MS);
    }

    #[tokio::test(start_paused = true)]
    nothing_the_client_sends_is_read proves "never-read" {
        let mut pipe = Pipe::open(r#"{"fault": "never-read", "with": {"hold": "7s"}}"#, 200);
        pipe.client.write_all(connect_to("sink.mock:80").as_bytes()).await.unwrap();
        read_head(&mut pipe.client).await;
        let begun = Instant::now();
        // One more than the pipe holds.
        assert!(pipe.client.write_all(&[0; 201]).await.is_err());
        assert_eq!(begun.elapsed(), 7000 * MS);
        assert_eq!(pipe.upstream.journal().requests()[0].up.bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    the_end_is_passed_on_late proves "close-late" {
        let entry = r#"{"fault": "close-late", "with": {"delay": "5s"}}"#;
        let mut pipe = Pipe::tunnel(entry, "n3.source.mock:80").await;
        let begun = Instant::now();
        assert_eq!(read_exactly(&mut pipe.client, 3).await, [0, 1, 2]);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(read_to_end(&mut pipe.client).await.is_empty());
        assert_eq!(begun.elapsed(), 5000 * MS);
    }

    #[tokio::test(start_paused = true)]
    the_tunnel_works_until_its_time_is_over_and_is_ended_in_order proves "timed-cut" {
        let mut pipe = Pipe::tunnel(r#"{"fault": "timed-cut", "with": {"time": "5s"}}"#, "echo.mock:80").await;
        let begun = Instant::now();
        pipe.client.write_all(b"x").await.unwrap();
        assert_eq!(pipe.client.read_u8().await.unwrap(), b'x');
        assert!(read_to_end(&mut pipe.client).await.is_empty());
        assert_eq!(begun.elapsed(), 5000 * MS);
        drop(pipe.client);
        pipe.upstream.journal().until(|counts| counts.requests == 1).await;
        let record = &pipe.upstream.journal().requests()[0];
        assert_eq!((record.outcome, record.upstream_end), (Outcome::Faulted, End::Fin));
    }

    #[tokio::test(start_paused = true)]
    the_tunnel_works_until_its_time_is_over_and_is_reset proves "timed-reset" {
        let mut pipe = Pipe::tunnel(r#"{"fault": "timed-reset", "with": {"time": "5s"}}"#, "echo.mock:80").await;
        let begun = Instant::now();
        // A pipe shows a reset as an end; the journal tells them apart.
        assert!(read_to_end(&mut pipe.client).await.is_empty());
        assert_eq!(begun.elapsed(), 5000 * MS);
        assert_eq!(pipe.upstream.journal().requests()[0].upstream_end, End::Rst);
    }

    #[tokio::test(start_paused = true)]
    it_is_slow_for_a_while_only proves "brown-out" {
        let entry = r#"{"fault": "brown-out", "with": {"delay": "2s", "after": "10s", "for": "10s"}}"#;
        assert_eq!(answers_after(entry, &[0, 9, 10, 17, 20]).await, [0, 0, 2000, 2000, 0]);
    }

    #[tokio::test(start_paused = true)]
    every_connection_is_slower_than_the_one_before proves "leak" {
        let entry = r#"{"fault": "leak", "with": {"step": "50ms", "most": "120ms"}}"#;
        assert_eq!(answers_after(entry, &[0, 1, 2, 3]).await, [50, 100, 120, 120]);
    }
}

/// How many milliseconds a CONNECT takes, at these seconds of the upstream's life.
async fn answers_after(entry: &str, seconds: &[u64]) -> Vec<u128> {
    let upstream = crate::support::upstream(crate::support::plan_of(entry));
    let begun = Instant::now();
    let mut took = Vec::new();
    for second in seconds {
        tokio::time::sleep_until(begun + Duration::from_secs(*second)).await;
        let (mut client, served) = tokio::io::duplex(1000);
        let asked = Instant::now();
        let talk = async {
            client.write_all(connect_to("echo.mock:80").as_bytes()).await.unwrap();
            assert_eq!(read_head(&mut client).await, ESTABLISHED);
            took.push(asked.elapsed().as_millis());
            client.shutdown().await.unwrap();
            read_to_end(&mut client).await;
        };
        tokio::join!(talk, upstream.serve(served, mock_upstreams::listen::dial));
    }
    took
}
