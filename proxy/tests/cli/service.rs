//! Tests what a service manager sees and gives: notifications, the watchdog, a listening socket that it passes.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketType};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Place, Running, WATCHDOG, address, connect, get};

/// What a service manager listens to.
pub(crate) struct Manager(UnixDatagram);

impl Manager {
    pub(crate) fn of(place: &Place) -> Self {
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        socket.set_read_timeout(Some(WATCHDOG)).unwrap();
        Manager(socket)
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let count = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    /// The next message that holds `text`; those in front of it are passed over.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        std::iter::repeat_with(|| self.next()).find(|message| message.contains(text)).unwrap()
    }
}

/// The command that starts the proxy of `place`, with a manager that listens.
pub(crate) fn managed(place: &Place) -> Command {
    place.write();
    let mut command = Running::command(place.folder.path(), &place.file());
    command.env("NOTIFY_SOCKET", place.path("notify")).env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
    command
}

#[test]
fn it_is_told_when_clients_are_served_when_a_reload_runs_and_when_a_drain_begins() {
    let place = Place::new();
    let manager = Manager::of(&place);
    let mut proxy = Running::from(managed(&place));
    let status = |epoch: u32| format!("READY=1\nSTATUS=Serving on {} with configuration {epoch}", place.address);
    assert_eq!(manager.next(), status(1));
    assert_eq!(get(place.address, "/healthz").0, 200, "whoever is told may come at once");

    proxy.signal(Signal::HUP);
    let reloading = manager.next();
    let (state, micros) = reloading.split_once("\nMONOTONIC_USEC=").unwrap();
    assert_eq!(state, "RELOADING=1");
    assert!(micros.lines().next().unwrap().parse::<u64>().unwrap() > 0, "{reloading}");
    assert_eq!(manager.next(), status(2));

    fs::write(place.file(), "{").unwrap();
    assert!(manager.next().starts_with("RELOADING=1\n"));
    let told = manager.wait_for("refused");
    assert!(told.starts_with(&status(2)), "{told}");

    proxy.signal(Signal::TERM);
    assert!(manager.wait_for("STOPPING=1").starts_with("STOPPING=1\nSTATUS=Draining"));
    assert_eq!(proxy.end(), 0);
}

#[test]
fn a_proxy_that_cannot_start_is_never_ready() {
    let place = Place::new();
    let manager = Manager::of(&place);
    let _taken = TcpListener::bind(place.address).unwrap();
    assert_eq!(Running::from(managed(&place)).end(), 1);
    manager.0.set_nonblocking(true).unwrap();
    assert!(manager.0.recv(&mut [0; 100]).is_err());
}

#[test]
fn the_watchdog_is_fed_by_the_process_that_it_watches() {
    for (pid, fed) in [(None, true), (Some("1"), false)] {
        let place = Place::new();
        let manager = Manager::of(&place);
        let mut command = managed(&place);
        command.env("WATCHDOG_USEC", "20000");
        if let Some(pid) = pid {
            command.env("WATCHDOG_PID", pid);
        }
        let mut proxy = Running::from(command);
        manager.wait_for("READY=1");
        if fed {
            (0..3).for_each(|_| drop(manager.wait_for("WATCHDOG=1")));
        }
        proxy.signal(Signal::TERM);
        let mut messages =
            std::iter::repeat_with(|| manager.next()).take_while(|message| !message.contains("STOPPING=1"));
        assert!(fed || messages.all(|message| !message.contains("WATCHDOG")));
        assert_eq!(proxy.end(), 0);
    }
}

#[test]
fn a_manager_that_is_gone_is_warned_about() {
    let place = Place::new();
    let mut proxy = Running::from(managed(&place));
    proxy.line("WARN NOTIFY_SOCKET: the service manager can't be told anything");
    proxy.line("listen=");
}

/// The proxy of `place`, with `passed` as descriptor 3 and on, as a service manager starts it.
fn activated(place: &Place, passed: OwnedFd, count: usize, pid: &str) -> Running {
    place.write();
    let proxy = Running::command(place.folder.path(), &place.file());
    let mut command = Command::new("sh");
    // Between fork and exec only a shell may act: the descriptor comes as its input. `exec` keeps its process id.
    let script = format!("exec 3<&0 4<&0 </dev/null; LISTEN_PID={pid} LISTEN_FDS={count} exec \"$0\" \"$@\"");
    command.arg("-c").arg(script).arg(proxy.get_program()).args(proxy.get_args());
    command.current_dir(place.folder.path()).env_remove("PROXY_CONFIG").stdin(Stdio::from(passed));
    Running::from(command)
}

#[test]
fn clients_that_come_before_the_start_and_between_two_starts_are_served() {
    let place = Place::new();
    let passed = TcpListener::bind(place.address).unwrap();
    for _ in 0..2 {
        let mut early = connect(place.address);
        write!(early, "GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", place.address).unwrap();
        let mut proxy = activated(&place, passed.try_clone().unwrap().into(), 1, "$$");
        let mut answer = String::new();
        early.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(get(place.address, "/healthz").0, 200);
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.end(), 0);
    }
}

#[test]
fn a_socket_that_is_meant_for_another_process_is_left_alone() {
    let place = Place::new();
    let passed = TcpListener::bind(address()).unwrap();
    let mut proxy = activated(&place, passed.into(), 1, "1");
    proxy.line("listen=");
    assert_eq!(get(place.address, "/healthz").0, 200);
}

#[test]
fn what_is_no_socket_to_listen_on_is_refused_and_told() {
    let elsewhere = address();
    let listening = TcpListener::bind(elsewhere).unwrap();
    let tcp = || OwnedFd::from(listening.try_clone().unwrap());
    let unbound = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    for (passed, count, said) in [
        (tcp(), 1, format!("the socket that was passed listens on {elsewhere}")),
        (tcp(), 2, "LISTEN_FDS: 2 sockets were passed".to_owned()),
        (UdpSocket::bind("127.0.0.1:0").unwrap().into(), 1, "LISTEN_FDS: fd 3 is not a valid tcp socket".to_owned()),
        (unbound, 1, "the socket that was passed does not listen".to_owned()),
    ] {
        let place = Place::new();
        let mut proxy = activated(&place, passed, count, "$$");
        assert_eq!(proxy.end(), 1, "{:?}", proxy.lines);
        assert!(proxy.lines.iter().any(|line| line.contains(&said)), "{said}: {:?}", proxy.lines);
    }
}

#[test]
fn every_address_may_be_every_one_of_either_family() {
    let mut place = Place::new();
    let passed = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0")).unwrap();
    let port = passed.local_addr().unwrap().port();
    place.config["server"]["listen_address"] = json!(format!("0.0.0.0:{port}"));
    place.config["authentication"] = json!({ "enabled": true, "users": [{ "username": "ann", "password": "word" }] });
    let mut proxy = activated(&place, passed.into(), 1, "$$");
    proxy.line("listen=");
}
