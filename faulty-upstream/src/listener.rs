//! Faults of the listening side, and the loop that does them to a listener of the caller's.

use std::io;
use std::time::Duration;

use crate::duplex::Duplex;
use crate::upstream::{FaultyUpstream, Standing};

/// How a listener stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It accepts.
    Open,
    /// It is there, but its backlog is full: new connections hang.
    Full,
    /// It is not there: new connections are refused.
    Closed,
}

impl State {
    /// As the journal says it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Full => "full",
            State::Closed => "closed",
        }
    }
}

/// What a fault wants of the listener at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// How it shall stand.
    pub state: State,
    /// The upstream is dead in this phase: its connections go as well.
    pub dead: bool,
    /// When the phase ends, counted like the time it was asked for; `None`: never.
    pub until: Option<Duration>,
}

impl Phase {
    /// As it is, for ever.
    pub const fn always(state: State) -> Self {
        Phase { state, dead: false, until: None }
    }
}

/// A listener that can be closed, opened again and filled up. The caller's world supplies it.
pub trait Listener {
    /// What it yields.
    type Stream: Duplex;

    /// The next connection. Asked only while the listener is open. Cancel safe.
    ///
    /// # Errors
    /// Those of accepting; none of them ends the listener.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Makes it stand as `state` says.
    ///
    /// # Errors
    /// It can't: the address is taken, or this world knows no such state ([`io::ErrorKind::Unsupported`]).
    fn set(&mut self, state: State) -> impl Future<Output = io::Result<()>> + Send;
}

/// Hands every accepted stream to `each` and does what the plan says to the listener, until `stop` is done.
///
/// `each` is expected to spawn [`FaultyUpstream::serve`].
///
/// # Errors
/// The listener can't do what a fault needs; the text names the fault.
pub async fn attend<L: Listener>(
    upstream: &FaultyUpstream,
    mut listener: L,
    mut each: impl FnMut(L::Stream),
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut stop = std::pin::pin!(stop);
    let mut standing = Standing::OPEN;
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            wanted = upstream.listener_change(&standing) => {
                if wanted.state != standing.state {
                    listener.set(wanted.state).await.map_err(|error| {
                        let text = format!("{}: {}: {error}", upstream.name(), wanted.faults.join(", "));
                        io::Error::new(error.kind(), text)
                    })?;
                }
                upstream.listener_changed(&wanted);
                standing = wanted;
            }
            accepted = listener.accept(), if standing.state == State::Open => match accepted {
                Ok(stream) => each(stream),
                // Out of descriptors, most likely: a pause lets connections end instead of spinning.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
}
