//! Two hosts show what the proxy and the laws rely on.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use faulty_upstream::{Duplex, Listener, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::Turmoil;
use super::line;
use super::stream::SimStream;
use crate::scenario::{self, HostName, Scenario};
use crate::world::engine::{Engine, Host};
use crate::world::link::{Gate, LinkChange};
use crate::world::patience::Patience;

const LONG: Duration = Duration::from_millis(100);

fn parse(more: &str) -> Scenario {
    let text = format!(
        r#"{{"name": "x", "story": "x", "duration": "5s", "upstreams": [{{"name": "a"}}, {{"name": "b"}}],
            "clients": [{{"name": "k", "do": "echo", "requests": 1}}] {more}}}"#
    );
    scenario::parse(&text).unwrap()
}

/// Hosts a and b, a fresh record of what they say, and the address on which a is expected to listen.
fn world() -> (Turmoil, Rc<RefCell<Vec<String>>>, SocketAddr) {
    let sim = Turmoil::new(&[HostName::new("a"), HostName::new("b")], &parse(""), 1, Patience::new("x", 1)).unwrap();
    let there = SocketAddr::new(sim.address(&HostName::new("a")), 80);
    (sim, Rc::default(), there)
}

fn go_on(sim: &mut Turmoil, time: Duration) {
    let until = sim.clock().now() + time;
    sim.run(until, || false);
}

/// Lets a accept one connection and do `then` with it.
fn accept_one<F: Future<Output = ()> + 'static>(sim: &mut Turmoil, then: impl FnOnce(SimStream) -> F + 'static) {
    sim.spawn(&HostName::new("a"), move |host| async move {
        let mut listener = host.listen(80).await.unwrap();
        then(Listener::accept(&mut listener).await.unwrap()).await;
    });
}

/// Lets b connect and say what it reads, to the end.
fn read_all(sim: &mut Turmoil, said: &Rc<RefCell<Vec<String>>>, there: SocketAddr) {
    let said = Rc::clone(said);
    sim.spawn(&HostName::new("b"), move |host| async move {
        let mut stream = match host.connect(there).await {
            Ok(stream) => stream,
            Err(error) => return said.borrow_mut().push(format!("{:?}", error.kind())),
        };
        loop {
            let mut bytes = [0; 8];
            let line = match stream.read(&mut bytes).await {
                Ok(count) => String::from_utf8_lossy(&bytes[..count]).into_owned(),
                Err(error) => format!("{:?}", error.kind()),
            };
            let more = !line.is_empty() && !line.starts_with("Connection");
            said.borrow_mut().push(line);
            if !more {
                let write = stream.write(b"x").await.map_err(|error| error.kind());
                return said.borrow_mut().push(format!("{write:?}"));
            }
        }
    });
}

#[test]
fn an_abort_is_read_as_a_reset_behind_what_was_written_and_a_drop_as_an_end() {
    let (mut sim, said, there) = world();
    accept_one(&mut sim, |mut stream| async move {
        stream.write_all(b"abc").await.unwrap();
        Duplex::abort(stream);
    });
    read_all(&mut sim, &said, there);
    go_on(&mut sim, LONG);
    assert_eq!(*said.borrow(), ["abc", "ConnectionReset", "Err(BrokenPipe)"]);

    let (mut sim, said, there) = world();
    accept_one(&mut sim, |mut stream| async move { stream.write_all(b"abc").await.unwrap() });
    read_all(&mut sim, &said, there);
    go_on(&mut sim, LONG);
    assert_eq!(*said.borrow(), ["abc", "", "Ok(1)"]);
}

#[test]
fn a_writer_waits_for_its_reader_and_fails_once_that_is_gone() {
    let (mut sim, said, there) = world();
    let wrote = Rc::new(Cell::new(0));
    accept_one(&mut sim, |mut stream| async move {
        sleep(LONG).await;
        stream.read_exact(&mut [0; 1000]).await.unwrap();
        sleep(LONG).await;
    });
    let (count, end) = (Rc::clone(&wrote), Rc::clone(&said));
    sim.spawn(&HostName::new("b"), move |host| async move {
        let mut stream = host.connect(there).await.unwrap();
        loop {
            match stream.write(&[0; 5000]).await {
                Ok(more) => count.set(count.get() + more),
                Err(error) => return end.borrow_mut().push(format!("{:?}", error.kind())),
            }
        }
    });
    go_on(&mut sim, LONG / 2);
    assert_eq!(wrote.get(), line::WINDOW);
    go_on(&mut sim, LONG);
    assert!(wrote.get() > line::WINDOW && wrote.get() <= 2 * line::WINDOW, "{}", wrote.get());
    assert!(said.borrow().is_empty());
    go_on(&mut sim, 4 * LONG);
    assert_eq!(*said.borrow(), ["BrokenPipe"]);
}

#[test]
fn a_crash_stops_every_task_at_once_resets_connections_and_frees_the_port() {
    let (mut sim, said, there) = world();
    let ticks = Rc::new(Cell::new(0));
    let count = Rc::clone(&ticks);
    accept_one(&mut sim, |stream| async move {
        loop {
            sleep(Duration::from_millis(1)).await;
            count.set(count.get() + 1);
            let _ = &stream;
        }
    });
    read_all(&mut sim, &said, there);
    go_on(&mut sim, LONG);
    let before = ticks.get();
    let host = HostName::new("a");
    assert!(before > 10 && said.borrow().is_empty() && sim.live_tasks(&host) == 1);
    sim.crash(&host);
    assert_eq!(sim.live_tasks(&host), 0);
    accept_one(&mut sim, |mut stream| async move { stream.write_all(b"again").await.unwrap() });
    go_on(&mut sim, LONG);
    assert_eq!((ticks.get(), said.take()), (before, vec!["ConnectionReset".to_owned(), "Err(BrokenPipe)".to_owned()]));
    assert!(sim.panics().is_empty(), "{:?}", sim.panics());
    read_all(&mut sim, &said, there);
    go_on(&mut sim, LONG);
    assert_eq!(said.borrow()[0], "again");
}

#[test]
fn a_closed_listener_refuses_and_a_full_one_keeps_callers_waiting() {
    let (mut sim, said, there) = world();
    sim.spawn(&HostName::new("a"), |host| async move {
        let mut listener = host.listen(80).await.unwrap();
        listener.set(State::Closed).await.unwrap();
        sleep(LONG).await;
        listener.set(State::Full).await.unwrap();
        sleep(LONG).await;
        listener.set(State::Open).await.unwrap();
        let mut stream = Listener::accept(&mut listener).await.unwrap();
        stream.write_all(b"open").await.unwrap();
    });
    go_on(&mut sim, LONG / 2);
    read_all(&mut sim, &said, there);
    go_on(&mut sim, LONG / 4);
    assert_eq!(said.take(), ["ConnectionRefused"]);
    go_on(&mut sim, LONG / 2);
    read_all(&mut sim, &said, there);
    go_on(&mut sim, LONG / 2);
    assert!(said.borrow().is_empty(), "{said:?}");
    go_on(&mut sim, LONG);
    assert_eq!(said.borrow()[0], "open");
}

#[test]
fn what_a_cut_or_held_link_keeps_arrives_when_it_opens() {
    for gate in [Gate::Cut, Gate::Held] {
        let (mut sim, said, there) = world();
        let (a, b) = (HostName::new("a"), HostName::new("b"));
        accept_one(&mut sim, |mut stream| async move { stream.write_all(b"late").await.unwrap() });
        sim.change_link(&a, &b, LinkChange::Gate(gate));
        read_all(&mut sim, &said, there);
        go_on(&mut sim, LONG);
        assert!(said.borrow().is_empty(), "{gate:?}: {said:?}");
        sim.change_link(&a, &b, LinkChange::Gate(Gate::Open));
        go_on(&mut sim, LONG);
        assert_eq!(said.borrow()[0], "late", "{gate:?}");
    }
}

#[test]
fn loopback_connections_of_two_hosts_are_not_mixed_up() {
    let (mut sim, said, _) = world();
    let inside = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    accept_one(&mut sim, |stream| async move { Duplex::abort(stream) });
    sim.spawn(&HostName::new("b"), |host| async move {
        let mut listener = host.listen(80).await.unwrap();
        drop(Listener::accept(&mut listener).await.unwrap());
    });
    for name in ["a", "b"] {
        let said = Rc::clone(&said);
        sim.spawn(&HostName::new(name), move |host| async move {
            let mut stream = host.connect(inside).await.unwrap();
            let read = stream.read(&mut [0; 8]).await.map_err(|error| error.kind());
            said.borrow_mut().push(format!("{name}: {read:?}"));
        });
    }
    go_on(&mut sim, LONG);
    assert_eq!(*said.borrow(), ["a: Err(ConnectionReset)", "b: Ok(0)"]);
}

#[test]
fn the_time_of_the_world_goes_forward_while_hosts_take_turns() {
    // With a step of several milliseconds a host is ahead of the one that has its turn next.
    let scenario = parse(r#", "network": {"tick": "5ms"}"#);
    let mut sim = Turmoil::new(&[HostName::new("a"), HostName::new("b")], &scenario, 1, Patience::new("x", 1)).unwrap();
    let told = Rc::new(RefCell::new(Vec::new()));
    for host in ["a", "b"] {
        let (told, clock) = (Rc::clone(&told), sim.clock());
        sim.spawn(&HostName::new(host), move |_| async move {
            loop {
                told.borrow_mut().push(clock.now());
                sleep(Duration::from_millis(1)).await;
            }
        });
    }
    go_on(&mut sim, LONG);
    assert!(told.borrow().len() > 150 && told.borrow().is_sorted(), "{told:?}");
}

#[test]
fn a_panic_is_written_down_with_its_host_and_ends_only_its_task() {
    let (mut sim, _, _) = world();
    let a = HostName::new("a");
    sim.spawn(&a, |host| async move {
        host.spawn(std::future::pending());
        panic!("so {}", "what");
    });
    go_on(&mut sim, LONG);
    assert_eq!((sim.panics(), sim.live_tasks(&a)), (vec!["a: so what".to_owned()], 1));
}

#[test]
fn what_turmoil_can_not_do_is_named() {
    let of = |more: &str| {
        let refused = Turmoil::unsupported(&parse(more));
        refused.iter().map(|one| one.split(':').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert!(of(r#", "network": {"jitter": "9ms"}"#).is_empty());
    assert_eq!(of(r#", "network": {"loss": 0.1, "bytes_per_second": 9}"#), ["loss", "bytes_per_second"]);
    let link = r#", "network": {"links": [{"between": ["proxy", "a"], "loss": 0.1, "bytes_per_second": 9}]}"#;
    assert_eq!(of(link), ["loss", "bytes_per_second"]);
    let timeline = r#", "timeline": [{"at": "1s", "do": "loss", "share": 0.1},
        {"at": "1s", "do": "partition-one-way", "from": "a", "to": "proxy"}]"#;
    assert_eq!(of(timeline), ["loss", "partition-one-way"]);
}

/// A double that closed behind the end of its TLS session, but before that of the connection, had its peer reset.
#[test]
fn doubles_over_tls_end_their_tunnels_in_order() {
    let text = r#"{ "name": "sealed", "story": "Tunnels over TLS end.", "duration": "3s",
        "network": { "tick": "5ms", "latency": "1ms", "jitter": "40ms" },
        "upstreams": [{ "name": "a", "tls": true, "plan": { "faults": [
            { "fault": "informational", "when": { "every": 2 }, "with": { "count": 2, "status": 100 } }] } }],
        "clients": [{ "name": "k", "do": ["echo:bytes=12", "tls:path=/ip"], "rate": 20 }] }"#;
    let report = crate::judge::run_on(crate::world::EngineKind::Turmoil, &scenario::parse(text).unwrap(), 1);
    assert_eq!(report.violations, []);
}
