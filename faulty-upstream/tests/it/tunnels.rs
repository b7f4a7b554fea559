//! Tests faults in the tunnel: bytes and ends on sockets.

use mock_upstreams::journal::{End, Outcome};
use mock_upstreams::targets::pattern;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Faulty, connect_to, expect_reset, expect_silence, proofs, read_exactly, read_head, read_to_end};

async fn tunnel(entry: &str, target: &str) -> (Faulty, TcpStream) {
    let faulty = Faulty::start(entry).await;
    let mut client = faulty.connect().await;
    client.write_all(connect_to(target).as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 "));
    (faulty, client)
}

const SOURCE: &str = "n5000.source.mock:80";

proofs! {
    #[tokio::test]
    exactly_so_many_bytes_come_and_then_an_end proves "cut" {
        let (faulty, mut client) = tunnel(r#"{"fault": "cut", "with": {"after": 1234}}"#, SOURCE).await;
        assert_eq!(read_to_end(&mut client).await, pattern(0, 1234));
        drop(client);
        let record = faulty.record().await;
        assert_eq!((record.down.bytes, record.upstream_end, record.outcome), (1234, End::Fin, Outcome::Faulted));
    }

    #[tokio::test]
    a_cut_on_the_way_up_ends_the_way_down_as_well proves "cut" {
        let (_faulty, mut client) = tunnel(r#"{"fault": "cut", "with": {"way": "up", "after": 4}}"#, "echo.mock:80").await;
        client.write_all(b"123456").await.unwrap();
        assert!(b"1234".starts_with(&read_to_end(&mut client).await[..]));
    }

    #[tokio::test]
    exactly_so_many_bytes_come_and_then_a_reset proves "tunnel-reset" {
        let (faulty, mut client) = tunnel(r#"{"fault": "tunnel-reset", "with": {"after": 0}}"#, SOURCE).await;
        expect_reset(&mut client).await;
        let record = faulty.record().await;
        assert_eq!((record.down.bytes, record.upstream_end), (0, End::Rst));
    }

    #[tokio::test]
    exactly_so_many_bytes_come_and_then_silence proves "stall" {
        let (_faulty, mut client) = tunnel(r#"{"fault": "stall", "with": {"after": 1234}}"#, SOURCE).await;
        assert_eq!(read_exactly(&mut client, 1234).await, pattern(0, 1234));
        expect_silence(&mut client).await;
    }

    #[tokio::test]
    the_way_down_is_ended_and_the_way_up_goes_on proves "half-close" {
        let (faulty, mut client) = tunnel(r#"{"fault": "half-close"}"#, "sink.mock:80").await;
        assert!(read_to_end(&mut client).await.is_empty());
        client.write_all(b"still heard").await.unwrap();
        client.shutdown().await.unwrap();
        drop(client);
        let record = faulty.record().await;
        assert_eq!((record.up.bytes, record.client_end, record.upstream_end), (11, End::Fin, End::Fin));
    }

    #[tokio::test]
    the_way_up_is_ended_and_the_way_down_goes_on proves "half-close" {
        let entry = r#"{"fault": "half-close", "with": {"way": "up", "after": 4}}"#;
        let (_faulty, mut client) = tunnel(entry, "sink.mock:80").await;
        client.write_all(b"123456").await.unwrap();
        let answer = String::from_utf8(read_to_end(&mut client).await).unwrap();
        assert!(answer.starts_with("4 "), "{answer}");
    }

    #[tokio::test]
    single_bits_differ_and_the_same_ones_for_the_same_seed proves "corrupt" {
        let run = async || {
            let entry = r#"{"fault": "corrupt", "with": {"every": 100}}"#;
            let (_faulty, mut client) = tunnel(entry, SOURCE).await;
            client.shutdown().await.unwrap();
            read_to_end(&mut client).await
        };
        let corrupted = run().await;
        let bits = corrupted.iter().zip(pattern(0, 5000)).map(|(is, should)| (is ^ should).count_ones());
        let flipped: Vec<u32> = bits.filter(|bits| *bits > 0).collect();
        assert_eq!(corrupted.len(), 5000);
        assert!((25..100).contains(&flipped.len()) && flipped.iter().all(|bits| *bits == 1), "{flipped:?}");
        assert_eq!(corrupted, run().await);
    }

    #[tokio::test]
    the_block_comes_twice proves "duplicate" {
        let entry = r#"{"fault": "duplicate", "with": {"at": 10, "length": 5}}"#;
        let (faulty, mut client) = tunnel(entry, SOURCE).await;
        client.shutdown().await.unwrap();
        let expected = [pattern(0, 15), pattern(10, 4990)].concat();
        assert_eq!(read_to_end(&mut client).await, expected);
        assert_eq!(faulty.record().await.down.bytes, 5005);
    }

    #[tokio::test]
    bytes_come_one_by_one proves "slice" {
        let entry = r#"{"fault": "slice", "with": {"gap": "1ms"}}"#;
        let (_faulty, mut client) = tunnel(entry, "n3.source.mock:80").await;
        let mut packet = [0; 100];
        for expected in 0..3 {
            assert_eq!(client.read(&mut packet).await.unwrap(), 1);
            assert_eq!(packet[0], expected);
        }
    }
}

#[tokio::test]
async fn effects_combine() {
    let faulty = Faulty::start(
        r#"{"fault": "slice", "with": {"size": 7}}, {"fault": "duplicate", "with": {"at": 0, "length": 2}},
           {"fault": "cut", "with": {"after": 4}}, {"fault": "http-1.0"}"#,
    )
    .await;
    let mut client = faulty.connect().await;
    client.write_all(connect_to(SOURCE).as_bytes()).await.unwrap();
    assert_eq!(read_head(&mut client).await, "HTTP/1.0 200 OK\r\n\r\n");
    assert_eq!(read_to_end(&mut client).await, [0, 1, 0, 1, 2, 3]);
    drop(client);
    assert_eq!(faulty.record().await.faults, ["http-1.0", "slice", "duplicate", "cut"]);
}

#[tokio::test]
async fn a_target_that_resets_is_passed_on_as_a_reset() {
    let target = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let faulty = Faulty::start(r#"{"fault": "slice"}"#).await;
    let mut client = faulty.connect().await;
    client.write_all(connect_to(&target.local_addr().unwrap().to_string()).as_bytes()).await.unwrap();
    let (far, _) = target.accept().await.unwrap();
    read_head(&mut client).await;
    far.set_zero_linger().unwrap();
    drop(far);
    expect_reset(&mut client).await;
}
