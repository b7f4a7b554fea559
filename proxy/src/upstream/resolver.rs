//! Turns an upstream's host name into a connected stream.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::env::Env;

/// The time between two connection attempts while none has failed: RFC 8305 section 8, "Connection Attempt Delay".
const STAGGER: Duration = Duration::from_millis(250);

/// How many addresses of one name are tried at most, so that a name with hundreds can't use up our descriptors.
const MAX_ADDRESSES: usize = 8;

/// How long a lookup may take while older addresses are known: RFC 8767 section 5, "client response timer".
const STALE_PATIENCE: Duration = Duration::from_millis(1800);

/// Resolves one host and connects to it, as "Happy Eyeballs" does (RFC 8305), with addresses that may be stale (RFC 8767).
///
/// 1. Use the addresses of the last lookup while they are fresh; else look the name up again.
/// 2. If that lookup fails or takes longer than 1.8 s, and older addresses are known, use those.
/// 3. Order the addresses so that the families alternate, beginning with the family of the first (RFC 8305 section 4).
/// 4. Start a connection to the first. Start the next 250 ms later, or at once if one fails (section 5).
/// 5. The first connection that stands wins, and the others are dropped.
#[derive(Debug)]
pub(crate) struct Resolver {
    host: String,
    port: u16,
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Vec<SocketAddr>,
    fresh_until: Instant,
}

impl Resolver {
    /// For `host`, which is a name or an address without brackets.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Resolver { host: host.to_owned(), port, known: Mutex::new(None) }
    }

    /// Connects to the first address that answers.
    ///
    /// # Errors
    /// The resolver's, or the last address's.
    pub(crate) async fn connect<E: Env>(&self, env: &E, fresh_for: Duration) -> io::Result<E::Stream> {
        let addresses = self.resolve(env, fresh_for).await?;
        if let [only] = addresses.as_slice() {
            return env.connect(*only).await;
        }
        race(env, &addresses).await
    }

    async fn resolve<E: Env>(&self, env: &E, fresh_for: Duration) -> io::Result<Vec<SocketAddr>> {
        if let Ok(literal) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(literal, self.port)]);
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = &known
            && Instant::now() < known.fresh_until
        {
            return Ok(known.addresses.clone());
        }
        let Some(stale) = known else {
            return match interleave(&env.resolve(&self.host, self.port).await?) {
                none if none.is_empty() => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
                found => Ok(self.remember(found, fresh_for)),
            };
        };
        // A resolver that is down for a moment must not take down an upstream that we could reach a moment ago; nor
        // must every request wait for it meanwhile.
        let found = timeout(STALE_PATIENCE, env.resolve(&self.host, self.port)).await;
        let found = found.ok().and_then(Result::ok).filter(|found| !found.is_empty());
        Ok(self.remember(found.map_or(stale.addresses, |found| interleave(&found)), fresh_for))
    }

    fn remember(&self, addresses: Vec<SocketAddr>, fresh_for: Duration) -> Vec<SocketAddr> {
        let known = Known { addresses: addresses.clone(), fresh_until: Instant::now() + fresh_for };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        addresses
    }
}

/// The resolver's order with the families taking turns (RFC 8305 section 4), so that a broken one delays but never blocks.
fn interleave(found: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (Vec<_>, Vec<_>) = found.iter().partition(|a| a.is_ipv6() == first_is_v6);
    let mut ordered = Vec::with_capacity(found.len());
    let (mut first, mut second) = (first.drain(..), second.drain(..));
    loop {
        let turn = [first.next(), second.next()];
        if turn == [None, None] {
            break;
        }
        for address in turn.into_iter().flatten() {
            if !ordered.contains(address) {
                ordered.push(*address);
            }
        }
    }
    ordered.truncate(MAX_ADDRESSES);
    ordered
}

type Connecting<'a, S> = Pin<Box<dyn Future<Output = io::Result<S>> + Send + 'a>>;

/// Starts an address every [`STAGGER`], or at once when the one before failed; the first to connect wins, the others are dropped.
async fn race<E: Env>(env: &E, addresses: &[SocketAddr]) -> io::Result<E::Stream> {
    let mut waiting = addresses.iter();
    let mut running: Vec<Connecting<'_, E::Stream>> = Vec::new();
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut next_start = Box::pin(tokio::time::sleep(Duration::ZERO));
    poll_fn(|cx| {
        loop {
            let mut failed = false;
            let mut index = 0;
            while let Some(attempt) = running.get_mut(index) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(error)) => {
                        last_error = error;
                        failed = true;
                        drop(running.remove(index));
                    }
                    Poll::Pending => index += 1,
                }
            }
            let due = failed || running.is_empty() || next_start.as_mut().poll(cx).is_ready();
            match waiting.as_slice() {
                [] if running.is_empty() => {
                    let error = std::mem::replace(&mut last_error, io::ErrorKind::Other.into());
                    return Poll::Ready(Err(error));
                }
                [_, ..] if due => {
                    if let Some(&address) = waiting.next() {
                        running.push(Box::pin(env.connect(address)));
                        next_start.as_mut().reset(Instant::now() + STAGGER);
                    }
                }
                _ => return Poll::Pending,
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns_beginning_with_the_resolvers_choice() {
        let found = ["[::1]:1", "[::2]:1", "10.0.0.1:1", "[::3]:1", "10.0.0.2:1"].map(addr);
        let expected = ["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"].map(addr);
        assert_eq!(interleave(&found), expected);
    }

    #[test]
    fn one_family_keeps_its_order_and_repeats_are_dropped() {
        let found = ["10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:1"].map(addr);
        assert_eq!(interleave(&found), ["10.0.0.2:1", "10.0.0.1:1"].map(addr));
    }

    #[test]
    fn a_name_with_hundreds_of_addresses_is_cut() {
        let found: Vec<_> = (1..=200).map(|n| addr(&format!("10.0.0.{n}:1"))).collect();
        assert_eq!(interleave(&found).len(), MAX_ADDRESSES);
    }
}
