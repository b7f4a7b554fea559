//! Wraps a real TCP listener, such that it can be closed, filled up and opened again.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mock_upstreams::listen::dial;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::run::run_listener;
use crate::effect::listener::State;
use crate::io::Listener;
use crate::upstream::FaultyUpstream;

/// The most connections that wait to be accepted, unless a fault fills the backlog.
const BACKLOG: i32 = 1024;
/// The most connections of our own that fill a backlog.
const MAX_FILLERS: usize = 16;
/// How often another free port is asked for.
const MAX_TRIES: u32 = 16;
/// A connection over loopback that is not made by then hangs in front of a full backlog.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);

/// A TCP listener that keeps its address through all its states.
#[derive(Debug)]
pub struct SocketListener {
    address: SocketAddr,
    /// Bound through all states, so that the port stays ours while nobody listens on it.
    socket: Socket,
    /// `None` while the listener is closed.
    listening: Option<TcpListener>,
    fillers: Vec<TcpStream>,
}

impl SocketListener {
    /// Listens on `address`. A port that the system chose (port 0) is kept.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.port() == 0 { bind_to_any(address) } else { bind(address, true) }?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        let mut listener = SocketListener { address, socket, listening: None, fillers: Vec::new() };
        listener.listen(BACKLOG)?;
        Ok(listener)
    }

    /// The address that it listens on when it is open.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn listen(&mut self, backlog: i32) -> io::Result<()> {
        // Connections of an earlier state would keep it from listening again.
        self.socket.set_reuse_address(true)?;
        self.socket.listen(backlog)?;
        self.listening = Some(TcpListener::from_std(self.socket.try_clone()?.into())?);
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        if self.listening.take().is_some() {
            // Two sockets may have a port in common while both allow it and neither listens: the system would give this one
            // to whoever asks for any port, and clients of this upstream would meet a stranger.
            self.socket.set_reuse_address(false)?;
            // It stays bound. The connections that wait in the backlog are reset.
            self.socket.shutdown(Shutdown::Read)?;
        }
        Ok(())
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

fn bind(address: SocketAddr, reuse: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // A given port may have connections of an earlier process, which would keep it from us.
    socket.set_reuse_address(reuse)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Binds to a port that the system chooses. It is asked for by its number then: the system takes a port back from a socket
/// that did not name it and ceases to listen.
fn bind_to_any(address: SocketAddr) -> io::Result<Socket> {
    let mut tries = 0;
    loop {
        let free = bind(address, false)?.local_addr()?.as_socket().unwrap_or(address);
        match bind(free, false) {
            // Somebody else was given it in between.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < MAX_TRIES => tries += 1,
            bound => return bound,
        }
    }
}

impl Listener for SocketListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        match &self.listening {
            Some(listening) => {
                let (stream, _) = listening.accept().await?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }
            None => std::future::pending().await,
        }
    }

    async fn set(&mut self, state: State) -> io::Result<()> {
        self.close()?;
        self.fillers.clear();
        match state {
            State::Closed => {}
            State::Open => self.listen(BACKLOG)?,
            State::Full => {
                self.listen(0)?;
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
