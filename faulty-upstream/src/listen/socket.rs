//! Real sockets: a listener that can be closed, filled up and opened again.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mock_upstreams::listen::dial;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::attend::attend;
use crate::effect::listener::State;
use crate::io::Listener;
use crate::upstream::FaultyUpstream;

/// Connections that wait to be accepted, where no fault wants it otherwise.
const BACKLOG: u32 = 1024;
/// Connections of our own that a backlog is filled with, at most.
const MOST_FILLERS: usize = 16;
/// Over loopback a connection is made at once; one that is not hangs before a full backlog.
const HANGS: Duration = Duration::from_millis(100);

/// A TCP listener that keeps its address through all its states.
#[derive(Debug)]
pub struct SocketListener {
    address: SocketAddr,
    /// Bound and never listening: keeps the port ours while the listener is closed.
    _reservation: TcpSocket,
    /// `None`: closed.
    socket: Option<TcpListener>,
    fillers: Vec<TcpStream>,
}

impl SocketListener {
    /// Listens on `address`; port 0 is chosen once and kept.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let reservation = bind(address)?;
        let address = reservation.local_addr()?;
        let socket = Some(bind(address)?.listen(BACKLOG)?);
        Ok(SocketListener { address, _reservation: reservation, socket, fillers: Vec::new() })
    }

    /// Where it listens, or would.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects to itself until a connection hangs.
    async fn fill(&mut self) -> io::Result<()> {
        while let Ok(connected) = timeout(HANGS, TcpStream::connect(self.address)).await {
            self.fillers.push(connected?);
            if self.fillers.len() > MOST_FILLERS {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "this system's backlog can't be filled"));
            }
        }
        Ok(())
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Otherwise the reservation, and connections of an earlier state, would keep the listener from the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Listener for SocketListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        match &self.socket {
            Some(socket) => {
                let (stream, _) = socket.accept().await?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }
            None => std::future::pending().await,
        }
    }

    async fn set(&mut self, state: State) -> io::Result<()> {
        if let Some(socket) = self.socket.take() {
            // Closing alone would leave it listening while a child that this process is just forking holds a copy.
            // Whoever waits in the backlog is reset by this.
            SockRef::from(&socket).shutdown(Shutdown::Read)?;
        }
        self.fillers.clear();
        match state {
            State::Closed => {}
            State::Open => self.socket = Some(bind(self.address)?.listen(BACKLOG)?),
            State::Full => {
                self.socket = Some(bind(self.address)?.listen(0)?);
                self.fill().await?;
            }
        }
        Ok(())
    }
}

/// Serves what `listener` accepts and does the plan's faults to it, until `stop` is done; then drops every connection.
///
/// # Errors
/// A fault of the listener can't be done.
pub async fn serve(
    listener: SocketListener,
    upstream: Arc<FaultyUpstream>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut clients = JoinSet::new();
    let each = |stream| {
        // What has ended makes room for what comes.
        while clients.try_join_next().is_some() {}
        let upstream = upstream.clone();
        clients.spawn(async move { upstream.serve(stream, dial).await });
    };
    let ended = attend(&upstream, listener, each, stop).await;
    clients.shutdown().await;
    ended
}
