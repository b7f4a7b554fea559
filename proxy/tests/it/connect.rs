//! CONNECT: byte-exact both ways, ends and resets passed on, early data kept.

use super::support::{Double, TestProxy, run};

#[test]
fn bytes_behind_both_heads_are_kept() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\nfrom the target").await;
            assert_eq!(peer.exactly(15).await, b"from the client");
            peer.send("!").await;
            peer.finish().await;
            peer.rest().await.unwrap();
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\nfrom the client").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(client.exactly(16).await, b"from the target!");
        client.finish().await;
        assert_eq!(client.rest().await.unwrap(), b"");
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.bytes_up, summary.bytes_down, summary.outcome), (15, 16, "ok"));
    });
}
