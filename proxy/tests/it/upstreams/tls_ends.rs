//! Tests what an upstream behind TLS is told when its connection ends.

use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;

use super::tls::{Certificates, entry, upstream, with_upstreams};
use crate::support::{Double, TestProxy, config, parse, run};

/// An end without the closing alert could be a cut (RFC 9112 section 9.8).
#[test]
fn whatever_ends_a_session_in_order_it_is_told_so() {
    run(async {
        let certificates = Certificates::new();
        let (tell, mut told) = unbounded_channel();
        let port = upstream(&certificates, move |mut peer| {
            let tell = tell.clone();
            async move {
                let head = peer.head().await;
                if head.starts_with("CONNECT ") {
                    peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
                } else if head.contains("/closing") {
                    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
                } else {
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
                let _ = tell.send(peer.rest().await.map_err(|error| error.kind()));
            }
        })
        .await;
        let proxy =
            TestProxy::with(certificates.read(&with_upstreams(json!([entry("localhost", port, "ca.pem")])))).await;
        // A reply that announces the end, a refused CONNECT, and a connection that was kept when its upstream left.
        let mut client = proxy.client().await;
        client.send("GET http://a.test/closing HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(told.recv().await.unwrap(), Ok(vec![]));
        assert!(proxy.asked("a.test:80").await.head().await.starts_with("HTTP/1.1 502 "));
        assert_eq!(told.recv().await.unwrap(), Ok(vec![]));
        let mut client = proxy.client().await;
        client.send("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        proxy.proxy.reload(parse(&config(&[Double::refusing().await]))).unwrap();
        assert_eq!(told.recv().await.unwrap(), Ok(vec![]));
    });
}
