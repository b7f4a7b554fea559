//! Plays a reply on a connection: writes its steps, then ends the connection or gives it back.

use std::convert::Infallible;
use std::io;

use mock_upstreams::Client;
use mock_upstreams::journal::End;
use mock_upstreams::stream::{close_in_order, pause};
use tokio::time::sleep;

use crate::effect::reply::{Reply, Step, Then};
use crate::io::Duplex;

/// Writes the steps of a reply in order.
pub(super) async fn write_steps<S: Duplex>(client: &mut Client<S>, steps: &[Step]) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Write(bytes) => client.write_raw(bytes).await?,
            Step::Wait(time) => pause(*time).await,
        }
    }
    Ok(())
}

/// Resets the connection, and notes it in the record of the request.
pub(super) fn reset<S: Duplex>(mut client: Client<S>) {
    if let Some(record) = client.record() {
        record.upstream_end = End::Rst;
    }
    client.into_stream().abort();
}

/// Plays a reply that opens no tunnel. Gives the connection back if it goes on.
pub(super) async fn play<S: Duplex>(mut client: Client<S>, reply: Reply) -> Option<Client<S>> {
    // If writing fails, the client is gone and nothing is left to play.
    write_steps(&mut client, &reply.steps).await.ok()?;
    match reply.then {
        Then::GoOn | Then::GoOnAnswered => return Some(client),
        Then::Fin => close_in_order(&mut client).await,
        Then::Reset => reset(client),
        Then::Freeze(time) => sleep(time).await,
        Then::Hold => {
            // The client has ended or failed afterwards; the connection is over either way.
            let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
        }
        Then::Repeat(bytes) => {
            let endless: Result<Infallible, io::Error> = async {
                loop {
                    client.write_raw(&bytes).await?;
                }
            }
            .await;
            // Only the end of the client ends the loop.
            let Err(_) = endless;
        }
        Then::Tunnel | Then::TunnelGlued => unreachable!("tunnels need a request and are opened where it is"),
    }
    None
}
