//! Gives each contender a network of its own, where that is allowed: ports that wait to be free again, and whatever else one
//! leaves in the kernel, are no burden to the others then.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Runtime};

/// Where a contender, its upstream and its clients run.
pub(crate) struct Arena {
    runtime: Runtime,
    /// The system's, where it has none of its own.
    network: Option<Arc<File>>,
}

impl Arena {
    /// One in the network that all processes share.
    pub(crate) fn shared() -> io::Result<Self> {
        Ok(Arena { runtime: runtime().build()?, network: None })
    }

    /// One in a network that nobody else is in.
    ///
    /// # Errors
    /// This user may not make one, or unshare(1) or ip(8) is missing.
    pub(crate) fn alone() -> io::Result<Self> {
        let network = Arc::new(network()?);
        let its = Arc::clone(&network);
        let runtime = runtime()
            .on_thread_start(move || {
                if let Err(error) = enter(&its) {
                    eprintln!("a thread stays outside of its contender's network: {error}");
                }
            })
            .build()?;
        Ok(Arena { runtime, network: Some(network) })
    }

    /// Runs `future` inside. What it starts stays there.
    pub(crate) fn run<T>(&self, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        if let Some(network) = &self.network {
            enter(network)?;
        }
        self.runtime.block_on(future)
    }
}

fn runtime() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    builder
}

/// Moves the calling thread there, and with it the sockets and the processes that it makes from now on.
fn enter(network: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// A network with a loopback. It lasts for as long as the file is open or somebody is in it.
fn network() -> io::Result<File> {
    let mut first = Command::new("unshare")
        .args(["--net", "sh", "-c", "ip link set lo up && echo up && read -r _"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut said = String::new();
    if let Some(stdout) = first.stdout.take() {
        BufReader::new(stdout).read_line(&mut said)?;
    }
    let network = match said.trim() {
        "up" => File::open(format!("/proc/{}/ns/net", first.id())),
        _ => Err(io::Error::other("`unshare --net` and `ip link set lo up` make none; they need root")),
    };
    // It ends with its standard input.
    drop(first.stdin.take());
    first.wait()?;
    network
}
