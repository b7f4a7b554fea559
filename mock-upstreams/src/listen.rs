//! Accepts connections on real sockets, and connects to targets. No other file of the library opens a socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::request::Target;
use crate::stream::close_in_order;
use crate::targets::Builtin;
use crate::upstream::Upstream;

/// Serves the connections that `listener` accepts until `stop` is done. Then drops every connection and returns.
pub async fn listen(listener: TcpListener, upstream: Arc<Upstream>, stop: impl Future<Output = ()>) {
    let serve = |stream| {
        let upstream = Arc::clone(&upstream);
        async move { upstream.serve(stream, dial).await }
    };
    accept(listener, serve, stop).await;
}

/// The same of a built-in target that stands by itself, for proxies that go direct. `name` is what `http.mock/ip` answers.
pub async fn listen_as_target(listener: TcpListener, target: Builtin, name: &str, stop: impl Future<Output = ()>) {
    let serve = |mut stream| {
        let name = name.to_owned();
        async move {
            // A client that breaks off has its connection dropped, as by any server.
            let _ = target.run(&mut stream, &name).await;
            close_in_order(&mut stream).await;
        }
    };
    accept(listener, serve, stop).await;
}

async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F, stop: impl Future<Output = ()>)
where
    F: Future<Output = ()> + Send + 'static,
{
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
                // Without this, small answers wait for acknowledgements. A failure only makes them slower.
                let _ = stream.set_nodelay(true);
                clients.spawn(serve(stream));
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
