//! Wraps a real TCP listener, such that it can be closed, filled up and opened again.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mock_upstreams::listen::dial;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::run::run_listener;
use crate::effect::listener::State;
use crate::io::Listener;
use crate::upstream::FaultyUpstream;

/// The most connections that wait to be accepted, unless a fault fills the backlog.
const BACKLOG: u32 = 1024;
/// The most connections of our own that fill a backlog.
const MAX_FILLERS: usize = 16;
/// A connection over loopback that is not made by then hangs in front of a full backlog.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);

/// A TCP listener that keeps its address through all its states.
#[derive(Debug)]
pub struct SocketListener {
    address: SocketAddr,
    /// A socket that is bound and never listens. It keeps the port ours while the listener is closed.
    _reservation: TcpSocket,
    /// `None` while the listener is closed.
    socket: Option<TcpListener>,
    fillers: Vec<TcpStream>,
}

impl SocketListener {
    /// Listens on `address`. A port that the system chose (port 0) is kept.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let reservation = bind(address)?;
        let address = reservation.local_addr()?;
        let socket = Some(bind(address)?.listen(BACKLOG)?);
        Ok(SocketListener { address, _reservation: reservation, socket, fillers: Vec::new() })
    }

    /// The address that it listens on when it is open.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects to itself until a connection hangs.
    async fn fill(&mut self) -> io::Result<()> {
        while let Ok(connected) = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address)).await {
            self.fillers.push(connected?);
            if self.fillers.len() > MAX_FILLERS {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "this system's backlog can't be filled"));
            }
        }
        Ok(())
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Without this the reservation, and connections of an earlier state, would keep the listener from the address.
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
            // Closing alone would leave it listening as long as a child that this process is just forking holds a copy.
            // The shutdown also resets the connections that wait in the backlog.
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

/// Serves the connections that `listener` accepts, with the faults of the plan, until `stop` is done. Then drops every
/// connection.
///
/// # Errors
/// This system lacks a state of the listener that a fault needs.
pub async fn serve(
    listener: SocketListener,
    upstream: Arc<FaultyUpstream>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut clients = JoinSet::new();
    let each = |stream| {
        // Tasks that have ended are removed before another is added.
        while clients.try_join_next().is_some() {}
        let upstream = upstream.clone();
        clients.spawn(async move { upstream.serve(stream, dial).await });
    };
    let ended = run_listener(&upstream, listener, each, stop).await;
    clients.shutdown().await;
    ended
}
