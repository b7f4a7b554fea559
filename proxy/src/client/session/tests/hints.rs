//! What a session tells its connection of what is to come.

use super::*;

const GET: &str = "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n";
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// How often more was expected of a client that sends these parts, each once the one before is dealt with, and how often the last was said.
async fn told(parts: &[&str], reply: &'static str) -> (usize, usize) {
    let (proxy, env) = start(json!({})).await;
    answering(&env, UPSTREAM, reply).await;
    let mut client = client(&proxy, &env);
    for part in parts {
        client.write_all(part.as_bytes()).await.unwrap();
        // Paused time moves on only when nobody has anything left to do.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut status = [0; 12];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200", "it has its response");
    (client.more_expected(), client.last_said())
}

/// Some clients send no more before they have an acknowledgement (RFC 896), which would come 40 ms late.
#[tokio::test(start_paused = true)]
async fn a_client_whose_head_or_body_comes_in_parts_is_acknowledged_at_once() {
    let post = "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\n";
    let (length, chunked) =
        (format!("{post}Content-Length: 4\r\n\r\n"), format!("{post}Transfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(told(&[&format!("{GET}\r\n")], HELLO).await.0, 0);
    assert_eq!(told(&[&format!("{length}word")], HELLO).await.0, 0);
    assert_eq!(told(&[GET, "\r\n"], HELLO).await.0, 1);
    assert_eq!(told(&[&length, "word"], HELLO).await.0, 1);
    assert_eq!(told(&[&chunked, "0\r\n\r\n"], HELLO).await.0, 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_travels_with_the_last_response_where_all_of_it_is_at_hand() {
    let last = format!("{GET}Connection: close\r\n\r\n");
    assert_eq!(told(&[&last], HELLO).await.1, 1);
    // The next response, or more of this one, would wait for nothing.
    assert_eq!(told(&[&format!("{GET}\r\n")], HELLO).await.1, 0);
    assert_eq!(told(&[&last], "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello").await.1, 0);
    assert_eq!(told(&[&last], "HTTP/1.1 200 OK\r\n\r\nhello").await.1, 0);
    // A client that still sends is listened to behind it.
    let unsent = "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(told(&[unsent], HELLO).await.1, 0);
}
