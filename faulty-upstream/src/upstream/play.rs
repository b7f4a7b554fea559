//! Plays replies on a connection: writes, waits, and ends it as the reply says.

use std::convert::Infallible;
use std::io;

use mock_upstreams::Client;
use mock_upstreams::journal::End;
use mock_upstreams::stream::{finish, pause};
use tokio::time::sleep;

use crate::effect::reply::{Part, Reply, Then};
use crate::io::Duplex;

/// Says the parts in order.
pub(crate) async fn say<S: Duplex>(client: &mut Client<S>, parts: &[Part]) -> io::Result<()> {
    for part in parts {
        match part {
            Part::Write(bytes) => client.write_raw(bytes).await?,
            Part::Wait(time) => pause(*time).await,
        }
    }
    Ok(())
}

/// Resets the connection, and lets the journal say so.
pub(crate) fn reset<S: Duplex>(mut client: Client<S>) {
    if let Some(record) = client.record() {
        record.upstream_end = End::Rst;
    }
    client.into_stream().abort();
}

/// Plays a reply that opens no tunnel. Gives the connection back where it goes on.
pub(crate) async fn play<S: Duplex>(mut client: Client<S>, reply: Reply) -> Option<Client<S>> {
    // A client that is gone hears no more of it, whatever it is.
    say(&mut client, &reply.say).await.ok()?;
    match reply.then {
        Then::GoOn | Then::GoOnAnswered => return Some(client),
        Then::Fin => finish(&mut client).await,
        Then::Reset => reset(client),
        Then::Freeze(time) => sleep(time).await,
        Then::Hold => {
            // Until the client's end or failure: either way nobody is there any more.
            let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
        }
        Then::Repeat(bytes) => {
            let endless: Result<Infallible, io::Error> = async {
                loop {
                    client.write_raw(&bytes).await?;
                }
            }
            .await;
            // It ends with the client.
            let Err(_) = endless;
        }
        Then::Tunnel | Then::TunnelGlued => unreachable!("tunnels need a request and are opened where it is"),
    }
    None
}
