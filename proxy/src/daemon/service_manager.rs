//! Tells the service manager that started us how we are, as sd_notify(3) has it: systemd, and whoever speaks as it does.
//!
//! | When | What is sent |
//! |---|---|
//! | clients are served; a reload has ended, whatever came of it | `READY=1` and `STATUS=…` |
//! | a reload begins | `RELOADING=1` and `MONOTONIC_USEC=…` |
//! | a drain begins | `STOPPING=1` and `STATUS=…` |
//! | another process has taken over | `MAINPID=…` |
//! | twice in every `WATCHDOG_USEC` | `WATCHDOG=1`, from a task of the runtime: one whose threads are all stuck sends none |
//!
//! Nothing is sent where `NOTIFY_SOCKET` names no socket. A message that can't be sent is lost: nobody waits for the
//! service manager.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// The variable that names the socket.
const SOCKET: &str = "NOTIFY_SOCKET";
/// How often the watchdog has to hear of us, in microseconds.
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
/// Which process it has to hear of. A child inherits the variable, and nobody waits for that one.
pub(crate) const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// The service manager that started this process, if any.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    /// Within what time it wants to hear from us, again and again.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment of this process names. Where it can't be reached, that is warned about: it may end us for
    /// our silence.
    pub fn from_env() -> Self {
        let watchdog = watchdog(env::var(WATCHDOG_USEC).ok(), env::var(WATCHDOG_PID).ok(), std::process::id());
        let socket = env::var_os(SOCKET).filter(|name| !name.is_empty()).and_then(|name| {
            let reached = reach(&name);
            reached.map_err(|error| warn!("{SOCKET}: the service manager can't be told anything: {error}")).ok()
        });
        ServiceManager { socket, watchdog }
    }

    /// Clients are served.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A reload begins; [`ServiceManager::ready`] says that it has ended.
    pub fn reloading(&self) {
        // Behind the request for it, by which the manager tells this reload from an earlier one.
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=Reading the configuration again"));
    }

    /// Process `pid` serves in our place: it is the one to watch and to signal from now on.
    pub fn main_process(&self, pid: i32) {
        self.send(&format!("MAINPID={pid}\nSTATUS=Handed over to process {pid}"));
    }

    /// A drain begins.
    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// Feeds the watchdog for as long as this is polled; ends at once where there is none. It belongs into a task of its own,
    /// so that what feeds the watchdog runs where sessions run.
    pub async fn feed_watchdog(&self) {
        let Some(period) = self.watchdog else { return };
        let mut ticks = interval(period / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // It never waits, and nobody is left to tell.
            let _ = socket.send(message.as_bytes());
        }
    }
}

/// A line break in a value would begin another message.
fn one_line(status: &str) -> String {
    status.replace('\n', "; ")
}

/// Connects to the socket called `name`: a path, or `@` and the name of an abstract one (unix(7)).
fn reach(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("it names neither an absolute path nor an abstract socket")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// Within what time the process `me` has to be heard of, by the values of `WATCHDOG_USEC` and `WATCHDOG_PID`.
fn watchdog(usec: Option<String>, pid: Option<String>, me: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(me)) {
        return None;
    }
    usec?.parse().ok().filter(|usec| *usec > 0).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::pin::pin;

    use tokio::time::{Instant, advance, timeout};

    use super::*;

    fn manager(watchdog: Option<Duration>) -> (ServiceManager, UnixDatagram) {
        let (near, far) = UnixDatagram::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        (ServiceManager { socket: Some(near), watchdog }, far)
    }

    /// The messages that have come.
    fn messages(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 4096];
        let next = || socket.recv(&mut buffer).ok().map(|count| String::from_utf8_lossy(&buffer[..count]).into_owned());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_status_is_one_line_and_begins_no_other_message() {
        let (manager, far) = manager(None);
        manager.ready("one\nMAINPID=1");
        manager.stopping("two");
        assert_eq!(messages(&far), ["READY=1\nSTATUS=one; MAINPID=1", "STOPPING=1\nSTATUS=two"]);
    }

    #[test]
    fn a_manager_that_reads_nothing_is_not_waited_for() {
        let (manager, far) = manager(None);
        manager.socket.as_ref().unwrap().set_nonblocking(true).unwrap();
        (0..10_000).for_each(|_| manager.ready("here"));
        assert!(messages(&far).len() < 10_000);
    }

    #[test]
    fn each_reload_is_later_than_the_last() {
        let (manager, far) = manager(None);
        manager.reloading();
        manager.reloading();
        let micros: Vec<u64> = messages(&far)
            .iter()
            .map(|message| {
                let (head, rest) = message.split_once("\nMONOTONIC_USEC=").unwrap();
                assert_eq!(head, "RELOADING=1");
                rest.lines().next().unwrap().parse().unwrap()
            })
            .collect();
        assert!(micros[0] > 0 && micros[0] <= micros[1], "{micros:?}");
    }

    #[test]
    fn only_the_process_that_is_meant_feeds_the_watchdog() {
        let of = |usec: &str, pid: Option<&str>| watchdog(Some(usec.to_owned()), pid.map(str::to_owned), 17);
        assert_eq!(of("3000000", Some("17")), Some(Duration::from_secs(3)));
        assert_eq!(of("3000000", None), Some(Duration::from_secs(3)));
        for (usec, pid) in [("3000000", Some("18")), ("3000000", Some("")), ("0", None), ("", None), ("-1", None)] {
            assert_eq!(of(usec, pid), None, "{usec:?} {pid:?}");
        }
        assert_eq!(watchdog(None, None, 17), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_hears_twice_in_its_time() {
        let (manager, far) = manager(Some(Duration::from_secs(10)));
        let begun = Instant::now();
        assert!(timeout(Duration::from_secs(31), manager.feed_watchdog()).await.is_err());
        assert_eq!(begun.elapsed(), Duration::from_secs(31));
        assert_eq!(messages(&far), ["WATCHDOG=1"; 7]);
    }

    /// `serve` gives it to the runtime whose threads run the sessions and the accept loop: where all of them are stuck, nobody
    /// polls it.
    #[tokio::test(start_paused = true)]
    async fn nothing_feeds_the_watchdog_while_its_task_is_not_polled() {
        let (manager, far) = manager(Some(Duration::from_secs(10)));
        let mut feeding = pin!(manager.feed_watchdog());
        let mut poll_once = async || {
            tokio::select! {
                biased;
                () = &mut feeding => panic!("it never ends"),
                () = ready(()) => {}
            }
        };
        poll_once().await;
        assert_eq!(messages(&far), ["WATCHDOG=1"]);
        advance(Duration::from_secs(600)).await;
        assert_eq!(messages(&far), [""; 0], "it would look alive");
        poll_once().await;
        assert_eq!(messages(&far), ["WATCHDOG=1"], "it goes on, and makes up for nothing");
    }

    #[tokio::test]
    async fn without_a_watchdog_nothing_is_fed() {
        let (manager, far) = manager(None);
        manager.feed_watchdog().await;
        assert_eq!(messages(&far), [""; 0]);
    }

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        reach(path.as_os_str()).unwrap().send(b"x").unwrap();
        assert_eq!(messages_of(&by_path), ["x"]);
        let name = format!("netdrift-test-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        reach(OsStr::new(&format!("@{name}"))).unwrap().send(b"y").unwrap();
        assert_eq!(messages_of(&by_name), ["y"]);
        for bad in ["relative", "@", "/nowhere/at/all"] {
            assert!(reach(OsStr::new(bad)).is_err(), "{bad}");
        }
    }

    fn messages_of(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        messages(socket)
    }
}
