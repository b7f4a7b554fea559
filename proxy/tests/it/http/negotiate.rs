//! Tests connections that a target takes for one client's: NTLM and Negotiate prove who asks to a connection, not to each request.

use super::plain::{get, reply, server};
use crate::support::{TestProxy, run};

/// RFC 9110 section 3.3.
#[test]
fn a_connection_that_a_client_has_logged_in_on_serves_nobody_else() {
    run(async {
        // The first step of a login is answered with the second, on the connection that the third has to come on.
        let challenge = "HTTP/1.1 401 Said\r\nWWW-Authenticate: NTLM second\r\nContent-Length: 0\r\n\r\n";
        let refusal = "HTTP/1.1 401 Said\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
        let (upstream, mut asked) = server(move |_, head| match head {
            head if head.contains("NTLM first") => challenge.to_owned(),
            head if head.contains("NTLM wrong") => refusal.to_owned(),
            _ => reply(200, ""),
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        // One client is as good as several: whoever comes next gets what is kept, and only this one knows that it is kept by then.
        let mut client = proxy.client().await;
        for (credentials, connection) in [
            ("", 0),
            ("Authorization: Basic YTpi\r\n", 0),
            ("Authorization: NTLM first\r\n", 0),
            ("Authorization: NTLM third\r\n", 0),
            ("", 1),
            ("Authorization: negotiate third\r\n", 1),
            ("", 2),
            // It may know who this is and not let them in.
            ("Authorization: NTLM wrong\r\n", 2),
            ("", 3),
        ] {
            client.send(get("/").replacen("\r\n\r\n", &format!("\r\n{credentials}\r\n"), 1)).await;
            client.response().await;
            assert_eq!(asked.recv().await.unwrap().0, connection, "{credentials:?}");
        }
    });
}
