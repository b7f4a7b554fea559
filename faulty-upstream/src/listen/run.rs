//! Runs the accept loop, and brings the listener into the state that the plan asks for.

use std::io;
use std::time::Duration;

use crate::effect::listener::{ListenerOrder, State};
use crate::io::Listener;
use crate::upstream::FaultyUpstream;

/// Hands every accepted stream to `each`, and brings `listener` into the states that the plan asks for, until `stop` is
/// done. `each` is expected to spawn a task that calls [`FaultyUpstream::serve`].
///
/// # Errors
/// The listener lacks the state that a fault needs. The text names the fault.
pub async fn run_listener<L: Listener>(
    upstream: &FaultyUpstream,
    mut listener: L,
    mut each: impl FnMut(L::Stream),
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut stop = std::pin::pin!(stop);
    let mut current = ListenerOrder::OPEN;
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            wanted = upstream.listener_change(&current) => {
                if wanted.state != current.state {
                    listener.set(wanted.state).await.map_err(|error| {
                        // Undoing a fault may fail as well, so the faults of both orders are named.
                        let faults = [current.faults.as_slice(), &wanted.faults].concat().join(", ");
                        let text = format!("{}: {faults}: {error}", upstream.name());
                        io::Error::new(error.kind(), text)
                    })?;
                }
                upstream.listener_changed(&wanted);
                current = wanted;
            }
            accepted = listener.accept(), if current.state == State::Open => match accepted {
                Ok(stream) => each(stream),
                // Most likely the process is out of descriptors. The pause lets connections end instead of spinning.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
}
