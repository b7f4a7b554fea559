//! Accepts connections on real sockets, and connects to targets. No other file of the library opens a socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::request::Target;
use crate::upstream::Upstream;

/// Serves the connections that `listener` accepts until `stop` is done. Then drops every connection and returns.
pub async fn listen(listener: TcpListener, upstream: Arc<Upstream>, stop: impl Future<Output = ()>) {
    let mut clients = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = clients.join_next(), if !clients.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let upstream = upstream.clone();
                clients.spawn(async move {
                    // Without this, small answers wait for acknowledgements. A failure only makes them slower.
                    let _ = stream.set_nodelay(true);
                    upstream.serve(stream, dial).await;
                });
            }
            // Most likely the process is out of descriptors. The pause lets connections end instead of spinning.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    clients.shutdown().await;
}

/// Connects to a real target: the `connect` closure for [`Upstream::serve`].
///
/// # Errors
/// Those of name resolution and connect(2).
pub async fn dial(target: Target) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
