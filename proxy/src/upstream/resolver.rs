//! From an upstream's host to a connected stream: names looked up once for all, addresses tried as RFC 8305 says.
//!
//! No request waits for a lookup while any answer is known: an old one is used, and one task asks for a new one. Only where all
//! known addresses fail does a request wait a moment for others.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::env::{Env, Held, Lack, Lock};

/// The time between two connection attempts while none has failed: RFC 8305 section 8, "Connection Attempt Delay".
const STAGGER: Duration = Duration::from_millis(250);

/// How many addresses of one name are tried at most, so that a name with hundreds can't use up our descriptors.
const MAX_ADDRESSES: usize = 8;

/// For how long a name is not asked for again that could not be resolved, or whose addresses refused.
const PAUSE: Duration = Duration::from_secs(1);

/// For how long a request waits for other addresses, where all that are known have failed: another upstream may be waiting.
const OTHERS: Duration = Duration::from_millis(250);

/// After this long a lookup counts as failed, so that another can be made: the system's resolver takes up to half a minute.
const LOOKUP: Duration = Duration::from_secs(30);

/// The names of one proxy's upstreams. Two upstreams with one host share what is known of it. Names are resolved and
/// connected to as "Happy Eyeballs" does (RFC 8305), with addresses that may be stale (RFC 8767):
///
/// 1. Use the addresses of the last lookup. If they are no longer fresh, one task looks the name up again meanwhile.
/// 2. If none is known, wait for the one lookup of that name, which all who need it share.
/// 3. Order the addresses so that the families alternate, beginning with the family of the first (RFC 8305 section 4);
///    the one that was connected to last goes in front.
/// 4. Start a connection to the first. Start the next 250 ms later, or at once if one fails (section 5).
/// 5. The first connection that stands wins, and the others are dropped.
/// 6. If all fail, look the name up again, but not more than once a second, and try what is new. A lookup that takes longer than
///    a moment helps the next request.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    names: Lock<BTreeMap<String, Weak<Name>>>,
}

impl Resolver {
    /// Where `host` (a name or a literal without brackets) is reached at `port`.
    pub(crate) fn endpoint(&self, host: &str, port: u16) -> Endpoint {
        let host = match host.parse() {
            Ok(literal) => Host::Literal([SocketAddr::new(literal, port)].into()),
            Err(_) => Host::Name(self.name(host)),
        };
        Endpoint { host, port, last_good: ArcSwapOption::empty() }
    }

    fn name(&self, host: &str) -> Arc<Name> {
        let mut names = self.names.lock();
        if let Some(name) = names.get(host).and_then(Weak::upgrade) {
            return name;
        }
        // A reload may have taken others away.
        names.retain(|_, name| name.strong_count() > 0);
        let name = Arc::new(Name::new(host));
        names.insert(host.to_owned(), Arc::downgrade(&name));
        name
    }
}

/// Where an upstream is reached.
#[derive(Debug)]
pub(crate) struct Endpoint {
    host: Host,
    port: u16,
    /// It is tried first, so that a dead one in front of it costs no time.
    last_good: ArcSwapOption<IpAddr>,
}

#[derive(Debug)]
enum Host {
    Literal(Arc<[SocketAddr]>),
    Name(Arc<Name>),
}

impl Endpoint {
    /// Whether it is an address, so that nothing is looked up.
    pub(crate) const fn is_literal(&self) -> bool {
        matches!(self.host, Host::Literal(_))
    }

    /// The addresses to try, the last good one first. Ones older than `fresh_for` are asked for again meanwhile.
    ///
    /// # Errors
    /// The resolver's, where no address was ever known.
    pub(crate) async fn resolve<E: Env>(&self, env: &E, fresh_for: Duration) -> io::Result<Arc<[SocketAddr]>> {
        let addresses = match &self.host {
            Host::Literal(literal) => return Ok(Arc::clone(literal)),
            Host::Name(name) => name.resolve(env, fresh_for).await?,
        };
        let last_good = self.last_good.load();
        let first = addresses.iter().position(|address| Some(address) == last_good.as_deref()).unwrap_or(0);
        let (before, behind) = addresses.split_at(first);
        let (first, behind) = behind.split_at(behind.len().min(1));
        let ordered = [first, before, behind].into_iter().flatten();
        Ok(ordered.map(|address| SocketAddr::new(*address, self.port)).collect())
    }

    /// Connects to the first of `addresses` that answers. Where all fail, the name is asked for again, and addresses that are
    /// new are tried as well. `lack` is set to the first error that says that this side could not try an address.
    ///
    /// # Errors
    /// The last address's.
    pub(crate) async fn connect<E: Env>(
        &self,
        env: &E,
        addresses: &[SocketAddr],
        fresh_for: Duration,
        lack: &OnceLock<io::Error>,
    ) -> io::Result<E::Stream> {
        let (address, stream) = match race(env, addresses, lack).await {
            Ok(connected) => connected,
            Err(error) => {
                let others = self.others(env, addresses, fresh_for).await;
                if others.is_empty() {
                    return Err(error);
                }
                race(env, &others, lack).await?
            }
        };
        if matches!(self.host, Host::Name(_)) && self.last_good.load().as_deref() != Some(&address.ip()) {
            self.last_good.store(Some(Arc::new(address.ip())));
        }
        Ok(stream)
    }

    /// Its addresses by now, without those that were `tried`.
    async fn others<E: Env>(&self, env: &E, tried: &[SocketAddr], fresh_for: Duration) -> Vec<SocketAddr> {
        let Host::Name(name) = &self.host else { return Vec::new() };
        let known = name.doubt(env, fresh_for).await;
        let known = known.iter().map(|address| SocketAddr::new(*address, self.port));
        known.filter(|address| !tried.contains(address)).collect()
    }
}

/// A name, what is known of it, and the one lookup that may be under way.
#[derive(Debug)]
struct Name {
    host: String,
    /// Changes under the lock only. Who finds fresh addresses needs no more.
    known: ArcSwap<Known>,
    state: Lock<NameState>,
    /// A lookup has ended.
    answered: Notify,
}

#[derive(Clone, Debug)]
struct Known {
    /// Empty where none was ever known.
    addresses: Arc<[IpAddr]>,
    /// When the next lookup is due.
    due: Instant,
}

#[derive(Debug, Default)]
struct NameState {
    /// Of the last lookup, if it failed.
    failure: Option<LookupFailure>,
    asking: bool,
    /// When the last lookup ended.
    answered: Option<Instant>,
}

/// An error that can be told to all who waited.
#[derive(Clone, Debug)]
struct LookupFailure {
    code: Option<i32>,
    kind: io::ErrorKind,
    text: String,
}

impl From<io::Error> for LookupFailure {
    fn from(error: io::Error) -> Self {
        LookupFailure { code: error.raw_os_error(), kind: error.kind(), text: error.to_string() }
    }
}

impl From<LookupFailure> for io::Error {
    fn from(failure: LookupFailure) -> Self {
        match failure.code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(failure.kind, failure.text),
        }
    }
}

impl Name {
    fn new(host: &str) -> Self {
        let known = ArcSwap::from_pointee(Known { addresses: Arc::default(), due: Instant::now() });
        Name { host: host.to_owned(), known, state: Lock::default(), answered: Notify::new() }
    }

    fn state(&self) -> Held<'_, NameState> {
        self.state.lock()
    }

    /// Its addresses, as long as no lookup is due.
    fn fresh(&self) -> Option<Arc<[IpAddr]>> {
        let known = self.known.load();
        (!known.addresses.is_empty() && Instant::now() < known.due).then(|| Arc::clone(&known.addresses))
    }

    async fn resolve<E: Env>(self: &Arc<Self>, env: &E, fresh_for: Duration) -> io::Result<Arc<[IpAddr]>> {
        if let Some(addresses) = self.fresh() {
            return Ok(addresses);
        }
        loop {
            let mut answered = pin!(self.answered.notified());
            // Before the state is read, so that an answer in between is not missed.
            answered.as_mut().enable();
            self.ask_if_due(env, fresh_for);
            {
                let state = self.state();
                let known = self.known.load();
                if !known.addresses.is_empty() {
                    return Ok(Arc::clone(&known.addresses));
                }
                if let (Some(failure), false) = (&state.failure, state.asking) {
                    return Err(failure.clone().into());
                }
            }
            answered.await;
        }
    }

    /// Its addresses fail: they may be others by now. It was asked for a moment ago, or is asked for again. What is known then,
    /// or after [`OTHERS`] without an answer.
    async fn doubt<E: Env>(self: &Arc<Self>, env: &E, fresh_for: Duration) -> Arc<[IpAddr]> {
        let mut answered = pin!(self.answered.notified());
        answered.as_mut().enable();
        {
            let state = self.state();
            let known = self.known.load();
            if let Some(again) = state.answered.map(|answered| answered + PAUSE).filter(|again| *again < known.due) {
                self.known.store(Arc::new(Known { due: again, ..Known::clone(&known) }));
            }
        }
        self.ask_if_due(env, fresh_for);
        let asking = self.state().asking;
        if asking {
            let _ = timeout(OTHERS, answered).await;
        }
        Arc::clone(&self.known.load().addresses)
    }

    /// Has a task of its own look the name up, unless it is too early or one does already: whoever asked may leave.
    fn ask_if_due<E: Env>(self: &Arc<Self>, env: &E, fresh_for: Duration) {
        let mut state = self.state();
        if state.asking || Instant::now() < self.known.load().due {
            return;
        }
        state.asking = true;
        drop(state);
        let (name, environment) = (Arc::clone(self), env.clone());
        env.spawn(async move {
            // The port is the upstream's own; here it is of no interest.
            let found = timeout(LOOKUP, environment.resolve(&name.host, 0)).await;
            name.answer(found.unwrap_or_else(|_| Err(no_answer())), fresh_for);
        });
    }

    fn answer(&self, found: io::Result<Vec<SocketAddr>>, fresh_for: Duration) {
        let found = found.map(|found| interleave(&found)).and_then(|found| {
            if found.is_empty() {
                Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
            } else {
                Ok(found)
            }
        });
        let now = Instant::now();
        let mut state = self.state();
        state.asking = false;
        state.answered = Some(now);
        let known = match found {
            Ok(addresses) => {
                state.failure = None;
                Known { addresses: addresses.into(), due: now + fresh_for }
            }
            // A resolver that is down for a moment must not take down an upstream that we could reach a moment ago.
            Err(error) => {
                state.failure = Some(error.into());
                Known { due: now + PAUSE, ..Known::clone(&self.known.load()) }
            }
        };
        self.known.store(Arc::new(known));
        drop(state);
        self.answered.notify_waiters();
    }
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer from the resolver within {} s", LOOKUP.as_secs()))
}

/// The resolver's order with the families taking turns (RFC 8305 section 4), so that a broken one delays but never blocks.
fn interleave(found: &[SocketAddr]) -> Vec<IpAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        found.iter().map(SocketAddr::ip).partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = Vec::with_capacity(found.len());
    let (mut first, mut second) = (first.drain(..), second.drain(..));
    loop {
        let turn = [first.next(), second.next()];
        if turn == [None, None] {
            break;
        }
        for address in turn.into_iter().flatten() {
            if !ordered.contains(&address) {
                ordered.push(address);
            }
        }
    }
    ordered.truncate(MAX_ADDRESSES);
    ordered
}

/// Keeps in `lack` what `error` says, if it is that this side lacked something.
fn note(error: &io::Error, lack: &OnceLock<io::Error>) {
    if Lack::of(error).is_some() {
        lack.get_or_init(|| error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error));
    }
}

type Connecting<'a, S> = Pin<Box<dyn Future<Output = io::Result<S>> + Send + 'a>>;

/// Starts an address every [`STAGGER`], or at once when the one before failed; the first to connect wins, the others are dropped.
async fn race<E: Env>(
    env: &E,
    addresses: &[SocketAddr],
    lack: &OnceLock<io::Error>,
) -> io::Result<(SocketAddr, E::Stream)> {
    if let [only] = addresses {
        let connected = env.connect(*only).await.inspect_err(|error| note(error, lack));
        return Ok((*only, connected?));
    }
    let mut waiting = addresses.iter();
    let mut running: Vec<(SocketAddr, Connecting<'_, E::Stream>)> = Vec::new();
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut next_start = Box::pin(tokio::time::sleep(Duration::ZERO));
    poll_fn(|cx| {
        loop {
            let mut failed = false;
            let mut index = 0;
            while let Some((address, attempt)) = running.get_mut(index) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok((*address, stream))),
                    Poll::Ready(Err(error)) => {
                        note(&error, lack);
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
                        running.push((address, Box::pin(env.connect(address))));
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
        let expected = ["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"].map(|text| addr(text).ip());
        assert_eq!(interleave(&found), expected);
    }

    #[test]
    fn one_family_keeps_its_order_and_repeats_are_dropped() {
        let found = ["10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:1"].map(addr);
        assert_eq!(interleave(&found), ["10.0.0.2:1", "10.0.0.1:1"].map(|text| addr(text).ip()));
    }

    #[test]
    fn upstreams_of_one_host_share_its_name_and_one_that_nobody_has_is_forgotten() {
        let resolver = Resolver::default();
        let names = || resolver.names.lock().keys().cloned().collect::<Vec<_>>();
        let (one, other) = (resolver.endpoint("a.test", 1), resolver.endpoint("a.test", 2));
        assert!(matches!((&one.host, &other.host), (Host::Name(one), Host::Name(other)) if Arc::ptr_eq(one, other)));
        drop(resolver.endpoint("b.test", 1));
        let _third = resolver.endpoint("c.test", 1);
        assert_eq!(names(), ["a.test", "c.test"]);
        drop((one, other));
        let _fourth = resolver.endpoint("d.test", 1);
        assert_eq!(names(), ["c.test", "d.test"]);
    }

    #[test]
    fn a_name_with_hundreds_of_addresses_is_cut() {
        let found: Vec<_> = (1..=200).map(|n| addr(&format!("10.0.0.{n}:1"))).collect();
        assert_eq!(interleave(&found).len(), MAX_ADDRESSES);
    }
}
