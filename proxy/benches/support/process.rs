//! Runs child processes, and reads what the kernel knows of them.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// The processes that a process has started; those that we look at do so in their first thread.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// A child that is killed with its own children, and waited for, when dropped.
pub(crate) struct ChildProcess(Child);

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) descriptors: usize,
    /// Its own memory and its share of what it shares, in bytes.
    pub(crate) memory: u64,
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let workers = children(self.id());
        // Each fails only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
        for worker in workers {
            if let Some(worker) = Pid::from_raw(worker as i32) {
                let _ = kill_process(worker, Signal::KILL);
            }
        }
    }
}

impl ChildProcess {
    /// Starts `command` with nothing to read and its errors in `log`.
    pub(crate) fn start(command: &mut Command, log: fs::File) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        Ok(ChildProcess(child))
    }

    /// Starts this very program as an upstream. Where it listens is its first line.
    pub(crate) fn upstream() -> io::Result<(Self, SocketAddr)> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("upstream")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let process = ChildProcess(child);
        BufReader::new(stdout).read_line(&mut line)?;
        let addr = line.trim().parse().map_err(io::Error::other)?;
        Ok((process, addr))
    }

    /// Waits until `addr` accepts; fails when the process ends first.
    pub(crate) async fn accepts(&mut self, addr: SocketAddr) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if TcpStream::connect(addr).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.0.try_wait()? {
                return Err(io::Error::other(format!("ended before it listened: {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks it to end in order, and waits until it has.
    pub(crate) fn end(mut self) -> io::Result<()> {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        kill_process(pid, Signal::TERM)?;
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("ended with {status}"))) }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Descriptors and memory at this moment.
    pub(crate) fn holding(&self) -> io::Result<Holding> {
        let pid = self.id();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let kilobytes = rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB"));
        let kilobytes: u64 = kilobytes.and_then(|text| text.trim().parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Holding { descriptors, memory: kilobytes * 1024 })
    }
}

/// An address that nobody listens on just now.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    free_address_on(Ipv4Addr::LOCALHOST.into())
}

/// As [`free_address`], on `ip`.
pub(crate) fn free_address_on(ip: IpAddr) -> io::Result<SocketAddr> {
    TcpListener::bind((ip, 0))?.local_addr()
}
