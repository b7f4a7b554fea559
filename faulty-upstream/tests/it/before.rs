//! Tests faults before the head is read.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::{ESTABLISHED, Faulty, Pipe, connect_to, expect_reset, proofs, read_head, read_to_end};

proofs! {
    #[tokio::test]
    the_connection_is_ended_before_anything_was_said proves "accept-close" {
        let faulty = Faulty::start(r#"{"fault": "accept-close"}"#).await;
        let mut client = faulty.connect().await;
        assert!(read_to_end(&mut client).await.is_empty());
        drop(client);
        assert_eq!(faulty.connection_faults().await, ["accept-close"]);
    }

    #[tokio::test]
    the_connection_is_reset_before_anything_was_said proves "accept-reset" {
        let faulty = Faulty::start(r#"{"id": "mine", "fault": "accept-reset"}"#).await;
        expect_reset(&mut faulty.connect().await).await;
        assert_eq!(faulty.connection_faults().await, ["accept-reset@mine"]);
    }

    #[tokio::test(start_paused = true)]
    nothing_is_read_until_the_time_is_over proves "accept-silent" {
        let mut pipe = Pipe::open(r#"{"fault": "accept-silent", "with": {"hold": "20s"}}"#, 64);
        let begun = Instant::now();
        // One byte more than the pipe holds: it would be written if a single one were read.
        let error = pipe.client.write_all(&[b'x'; 65]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        assert_eq!(begun.elapsed(), Duration::from_secs(20));
    }

    #[tokio::test(start_paused = true)]
    the_request_is_read_only_later_and_then_served proves "accept-late" {
        let mut pipe = Pipe::open(r#"{"fault": "accept-late", "with": {"delay": "3s"}}"#, 16);
        let begun = Instant::now();
        // Longer than the pipe: writing takes until it is read.
        pipe.client.write_all(connect_to("echo.mock:80").as_bytes()).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
        assert_eq!(read_head(&mut pipe.client).await, ESTABLISHED);
    }
}

#[tokio::test]
async fn only_the_connections_that_the_plan_names_are_struck() {
    let faulty = Faulty::start(r#"{"fault": "accept-reset", "when": {"every": 2}}"#).await;
    for connection in 1..=4 {
        let mut client = faulty.connect().await;
        if connection % 2 == 0 {
            expect_reset(&mut client).await;
        } else {
            client.write_all((connect_to("echo.mock:80") + "x").as_bytes()).await.unwrap();
            read_head(&mut client).await;
            assert_eq!(client.read_u8().await.unwrap(), b'x');
        }
    }
    assert_eq!(faulty.upstream.plan().entries()[0].struck, 2);
}
