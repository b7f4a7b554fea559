//! The loop that accepts connections and does to the listener what the plan says.

use std::io;
use std::time::Duration;

use crate::effect::listener::{Standing, State};
use crate::io::Listener;
use crate::upstream::FaultyUpstream;

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
                        // Also where a fault can't be undone, its name is what is of use.
                        let faults = [standing.faults.as_slice(), &wanted.faults].concat().join(", ");
                        let text = format!("{}: {faults}: {error}", upstream.name());
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
