//! Asks short questions over HTTP, each on a connection of its own.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::response::{BodyReader, BufferedStream};

/// How long a question and its answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of an answer; a full journal has some 30 MB.
const MOST: usize = 256 << 20;

/// Gets the body of `http://address/path`; `authorization` is the token of Basic credentials.
pub(crate) async fn get(address: &str, path: &str, authorization: Option<&str>) -> Result<Vec<u8>, String> {
    ask(address, &format!("GET {path}"), authorization, "").await
}

/// Gets the JSON at `http://address/path`; `what` says in an error what was expected there.
pub(crate) async fn get_json<T: DeserializeOwned>(
    address: &str,
    path: &str,
    authorization: Option<&str>,
    what: &str,
) -> Result<T, String> {
    let body = get(address, path, authorization).await?;
    serde_json::from_slice(&body)
        .map_err(|error| format!("http://{address}{path} does not answer with {what}: {error}"))
}

/// Asks `question`, a method and a path, with `body`, at `address`. Any other status than 200 is an error.
pub(crate) async fn ask(
    address: &str,
    question: &str,
    authorization: Option<&str>,
    body: &str,
) -> Result<Vec<u8>, String> {
    let ask = async {
        let mut wire = BufferedStream::new(TcpStream::connect(address).await?);
        let credentials = authorization.map_or(String::new(), |token| format!("Authorization: Basic {token}\r\n"));
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{question} HTTP/1.1\r\nHost: {address}\r\n{credentials}{length}Connection: close\r\n\r\n");
        wire.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
        let head = wire.head().await?;
        let (mut body, mut all, mut buffer) = (BodyReader::new(head.length()?), Vec::new(), vec![0; 64 * 1024]);
        while !body.is_over() && all.len() < MOST {
            let count = body.read(&mut wire, &mut buffer).await?;
            all.extend_from_slice(&buffer[..count]);
        }
        std::io::Result::Ok((head.status, all))
    };
    let asked = tokio::time::timeout(PATIENCE, ask).await;
    match asked {
        Ok(Ok((200, body))) => Ok(body),
        Ok(Ok((status, _))) => Err(format!("{question} at {address} answered {status}")),
        Ok(Err(error)) => Err(format!("{question} at {address}: {error}")),
        Err(_) => Err(format!("{question} at {address} was not answered in time")),
    }
}
