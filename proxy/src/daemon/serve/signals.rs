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
    /// SIGUSR2: write the flight record. Whoever hears it takes it, so that it is heard for as long as the process lives.
    pub record: Option<Signals>,
    /// SIGUSR1: open the log's file again, as other servers do.
    pub reopen: Signals,
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
            record: Some(signal(SignalKind::user_defined2())?),
            reopen: signal(SignalKind::user_defined1())?,
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
