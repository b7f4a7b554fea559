//! Handles the signals of the process.

use std::io;

use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// Every signal that has a meaning here.
#[derive(Debug)]
pub struct ProcessSignals {
    /// SIGHUP: read the configuration again.
    pub hangup: Signals,
    /// Those that end a proxy.
    pub stop: StopSignals,
    /// Those that do nothing here.
    pub ignored: IgnoredSignals,
}

impl ProcessSignals {
    /// Handles them from now on; one that comes before it is waited for is kept.
    ///
    /// # Errors
    /// The system has no room for another handler, or no runtime is entered.
    pub fn handle() -> io::Result<Self> {
        Ok(ProcessSignals {
            hangup: signal(SignalKind::hangup())?,
            stop: StopSignals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                quit: signal(SignalKind::quit())?,
            },
            ignored: IgnoredSignals {
                user1: signal(SignalKind::user_defined1())?,
                user2: signal(SignalKind::user_defined2())?,
            },
        })
    }
}

/// The signals that end a proxy.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signals,
    interrupt: Signals,
    quit: Signals,
}

impl StopSignals {
    /// Waits for the next one of them.
    pub async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

/// Signals that do nothing here. By default they would kill the proxy without a drain; other servers take them for
/// opening log files again, or for a new binary.
#[derive(Debug)]
pub struct IgnoredSignals {
    user1: Signals,
    user2: Signals,
}

impl IgnoredSignals {
    /// Waits for the next one of them, and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.user1.recv() => "SIGUSR1",
            _ = self.user2.recv() => "SIGUSR2",
        }
    }
}
