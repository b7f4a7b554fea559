//! The proxy's machine draws which reads and writes are short, which calls fail, and what a name lookup answers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::dice::{Share, below};
use crate::record::{Recorder, ScenarioEvent, What};
use crate::scenario::{Chance, HostName};

/// With this prefix, an IPv4 address becomes the IPv6 address of the same host (RFC 4193).
const PREFIX: [u16; 6] = [0xfd00, 0, 0, 0, 0, 0];
/// Addresses of the network `REFUSES` refuse connections, and addresses of the network `SILENT` never answer (RFC 5737).
const REFUSES: [u8; 3] = [192, 0, 2];
const SILENT: [u8; 3] = [198, 51, 100];
/// Errors of accept(2) that leave the connection in the backlog: EMFILE, ENFILE, ENOBUFS, ENOMEM, and ECONNABORTED for one that went away.
const ACCEPT_ERRORS: [i32; 5] = [24, 23, 105, 12, 103];
/// EMFILE: the process has no descriptor left.
const NO_DESCRIPTOR: i32 = 24;
/// How many dead addresses an answer has at most. Each silent one delays the attempt by the stagger of RFC 8305, so more of them would
/// leave no time for a good one.
const MOST_REFUSING: usize = 4;
const MOST_SILENT: usize = 2;

/// The proxy's machine. Clones are the same machine.
#[derive(Clone)]
pub(in crate::world::simulated) struct Machine(Arc<Mutex<State>>);

struct State {
    random: ChaCha8Rng,
    short_io: Share,
    accept_errors: Share,
    /// How many connections may be open at once, if that is bounded, and how many are.
    descriptors: Option<usize>,
    open: usize,
    dns_failures: Share,
    dns_delay: Duration,
    dns_addresses: Share,
    offload_delay: Duration,
    offload_busy: Share,
    host: HostName,
    recorder: Recorder,
}

/// The descriptor of one connection. Dropping it gives it back.
pub(in crate::world::simulated) struct Descriptor(Machine);

impl Descriptor {
    pub(super) fn machine(&self) -> &Machine {
        &self.0
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.state().open -= 1;
    }
}

/// What becomes of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world::simulated) enum Route {
    /// It reaches this address of a host.
    To(SocketAddr),
    /// It is refused.
    Refused,
    /// Nobody answers.
    Silent,
}

impl Machine {
    /// Makes the machine of one process of the proxy on `host`. What happens follows from `seed`, how often from `chance`.
    pub(in crate::world::simulated) fn new(chance: &Chance, seed: u64, host: HostName, recorder: Recorder) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // The proxy draws its own random numbers from stream 0.
        random.set_stream(1);
        let short_io = Share::or_drawn(chance.short_io, &mut random);
        Machine(Arc::new(Mutex::new(State {
            random,
            short_io,
            accept_errors: Share::of(chance.accept_errors),
            descriptors: chance.descriptors.map(NonZeroUsize::get),
            open: 0,
            dns_failures: Share::of(chance.dns_failures),
            dns_delay: chance.dns_delay.get(),
            dns_addresses: Share::of(chance.dns_addresses),
            offload_delay: chance.offload_delay.get(),
            offload_busy: Share::of(chance.offload_busy),
            host,
            recorder,
        })))
    }

    /// Ends its faults. What costs time only goes on.
    pub(in crate::world::simulated) fn heal(&self) {
        let state = &mut *self.state();
        state.descriptors = None;
        for share in [&mut state.accept_errors, &mut state.dns_failures, &mut state.offload_busy] {
            *share = Share::of(0.0);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of `bytes` a read or write may move: all of them, or fewer if the call is to be short.
    pub(super) fn moves(&self, bytes: usize) -> usize {
        let State { random, short_io, .. } = &mut *self.state();
        if bytes > 1 && short_io.hits(random) { 1 + below(random, bytes - 1) } else { bytes }
    }

    /// The error of a call of accept(2), if it fails.
    pub(super) fn accept_error(&self) -> Option<io::Error> {
        let mut state = self.state();
        let State { random, accept_errors, .. } = &mut *state;
        if !accept_errors.hits(random) {
            return None;
        }
        let error = io::Error::from_raw_os_error(ACCEPT_ERRORS[below(random, ACCEPT_ERRORS.len())]);
        state.tell("accept-error", error.to_string());
        Some(error)
    }

    /// Takes a descriptor for a connection that `call` is to make.
    ///
    /// # Errors
    /// None is left.
    pub(in crate::world::simulated) fn descriptor(&self, call: &str) -> io::Result<Descriptor> {
        let mut state = self.state();
        if state.descriptors.is_some_and(|most| state.open >= most) {
            state.tell("no-descriptor", call.to_owned());
            return Err(io::Error::from_raw_os_error(NO_DESCRIPTOR));
        }
        state.open += 1;
        Ok(Descriptor(self.clone()))
    }

    /// How long the lookup of a name takes.
    pub(in crate::world::simulated) fn lookup_takes(&self) -> Duration {
        self.state().up_to(|state| state.dns_delay)
    }

    /// What the lookup of `name`, which leads to `hosts`, answers.
    ///
    /// # Errors
    /// The lookup fails, and may succeed when it is repeated.
    pub(in crate::world::simulated) fn lookup(&self, name: &str, hosts: Vec<IpAddr>) -> io::Result<Vec<IpAddr>> {
        let mut state = self.state();
        let State { random, dns_failures, dns_addresses, .. } = &mut *state;
        if dns_failures.hits(random) {
            state.tell("dns-failure", name.to_owned());
            return Err(io::Error::new(io::ErrorKind::HostUnreachable, "temporary failure in name resolution"));
        }
        if hosts.is_empty() || !dns_addresses.hits(random) {
            return Ok(hosts);
        }
        let mut answer: Vec<IpAddr> = hosts;
        if below(random, 2) == 0 {
            let sixth: Vec<IpAddr> = answer.iter().copied().map(as_ipv6).collect();
            let at = if below(random, 2) == 0 { 0 } else { answer.len() };
            answer.splice(at..at, sixth);
        }
        for (network, most) in [(REFUSES, MOST_REFUSING), (SILENT, MOST_SILENT)] {
            for host in 0..below(random, most + 1) {
                let [a, b, c] = network;
                let dead = IpAddr::V4(Ipv4Addr::new(a, b, c, u8::try_from(host + 1).unwrap_or(u8::MAX)));
                let dead = if below(random, 2) == 0 { as_ipv6(dead) } else { dead };
                // At most seven addresses stand in front of a good one, since a client tries only the first few addresses.
                let at = below(random, answer.len() + 1);
                answer.insert(at, dead);
            }
        }
        let text = answer.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        state.tell("dns-addresses", format!("{name}: {text}"));
        Ok(answer)
    }

    /// How long an offloaded job waits, or that there is no room for it.
    pub(in crate::world::simulated) fn offload(&self) -> Option<Duration> {
        let mut state = self.state();
        let State { random, offload_busy, .. } = &mut *state;
        if offload_busy.hits(random) {
            state.tell("offload-busy", String::new());
            return None;
        }
        Some(state.up_to(|state| state.offload_delay))
    }
}

impl State {
    /// A time from zero to `most`.
    fn up_to(&mut self, most: impl Fn(&State) -> Duration) -> Duration {
        let most = u64::try_from(most(self).as_micros()).unwrap_or(u64::MAX - 1);
        // If the scenario asks for no delay, nothing is drawn, so that the other draws stay the same.
        if most == 0 { Duration::ZERO } else { Duration::from_micros(self.random.next_u64() % (most + 1)) }
    }

    fn tell(&self, of: &'static str, what: String) {
        self.recorder.write(&self.host, What::Scenario(ScenarioEvent::Chance { of, what }));
    }
}

/// Where an attempt to connect to `address` leads.
pub(in crate::world::simulated) fn route(address: SocketAddr) -> Route {
    let ip = match address.ip() {
        IpAddr::V6(ip) => match ip.segments() {
            [a, b, c, d, e, f, _, _] if [a, b, c, d, e, f] == PREFIX => {
                let [.., w, x, y, z] = ip.octets();
                IpAddr::V4(Ipv4Addr::new(w, x, y, z))
            }
            _ => IpAddr::V6(ip),
        },
        ip => ip,
    };
    match ip {
        IpAddr::V4(ip) if ip.octets()[..3] == REFUSES => Route::Refused,
        IpAddr::V4(ip) if ip.octets()[..3] == SILENT => Route::Silent,
        ip => Route::To(SocketAddr::new(ip, address.port())),
    }
}

/// The IPv6 address of the host at `address`.
fn as_ipv6(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let [w, x, y, z] = ip.octets();
            let [a, b, c, d, e, f] = PREFIX;
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, u16::from_be_bytes([w, x]), u16::from_be_bytes([y, z])))
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Clock;

    fn machine(chance: Chance) -> Machine {
        Machine::new(&chance, 1, HostName::new("proxy"), Recorder::new(Clock::new(|| Duration::ZERO)))
    }

    #[test]
    fn a_healed_machine_fails_no_more() {
        let machine = machine(Chance { accept_errors: 1.0, dns_failures: 1.0, offload_busy: 1.0, ..Chance::default() });
        assert!(
            machine.accept_error().is_some()
                && machine.lookup("name", Vec::new()).is_err()
                && machine.offload().is_none()
        );
        machine.heal();
        assert!(
            machine.accept_error().is_none()
                && machine.lookup("name", Vec::new()).is_ok()
                && machine.offload().is_some()
        );
    }

    #[test]
    fn descriptors_are_used_up_and_given_back() {
        let machine = machine(Chance { descriptors: NonZeroUsize::new(2), ..Chance::default() });
        let first = machine.descriptor("accept").unwrap();
        let _second = machine.descriptor("connect").unwrap();
        assert_eq!(machine.descriptor("connect").err().and_then(|error| error.raw_os_error()), Some(NO_DESCRIPTOR));
        drop(first);
        let _third = machine.descriptor("accept").unwrap();
        assert!(machine.descriptor("accept").is_err());
        machine.heal();
        assert!(machine.descriptor("accept").is_ok());
    }

    #[test]
    fn an_answer_with_dead_addresses_keeps_the_live_ones_among_the_first_eight() {
        let machine = machine(Chance { dns_addresses: 1.0, ..Chance::default() });
        let host: IpAddr = "10.0.0.3".parse().unwrap();
        let (mut dead, mut sixth) = (0, 0);
        for _ in 0..500 {
            let answer = machine.lookup("x", vec![host]).unwrap();
            let routes: Vec<Route> = answer.iter().map(|ip| route(SocketAddr::new(*ip, 80))).collect();
            let live = routes.iter().position(|one| *one == Route::To(SocketAddr::new(host, 80)));
            assert!(live.is_some_and(|place| place < 8), "{answer:?}");
            let silent = routes.iter().filter(|one| **one == Route::Silent).count();
            assert!(silent <= MOST_SILENT, "{answer:?}");
            dead += routes.iter().filter(|one| !matches!(one, Route::To(_))).count();
            sixth += answer.iter().filter(|ip| ip.is_ipv6()).count();
        }
        assert!(dead > 500 && sixth > 500, "{dead} dead, {sixth} of IPv6");
    }

    #[test]
    fn what_is_not_left_to_chance_never_happens() {
        let machine = machine(Chance { short_io: Some(0.0), ..Chance::default() });
        let host: IpAddr = "10.0.0.3".parse().unwrap();
        for bytes in 0..100 {
            assert_eq!(machine.moves(bytes), bytes);
            assert!(machine.accept_error().is_none());
            assert_eq!(machine.lookup("x", vec![host]).unwrap(), [host]);
            assert_eq!((machine.lookup_takes(), machine.offload()), (Duration::ZERO, Some(Duration::ZERO)));
        }
    }

    #[test]
    fn what_is_left_to_chance_happens() {
        let machine = machine(Chance {
            short_io: Some(1.0),
            accept_errors: 1.0,
            dns_failures: 1.0,
            dns_delay: crate::scenario::Span::from_millis(9),
            offload_busy: 1.0,
            ..Chance::default()
        });
        assert!((2..100).all(|bytes| (1..bytes).contains(&machine.moves(bytes))));
        assert!(machine.accept_error().is_some() && machine.lookup("x", Vec::new()).is_err());
        assert!((0..100).any(|_| machine.lookup_takes() > Duration::from_millis(5)));
        assert_eq!(machine.offload(), None);
    }
}
