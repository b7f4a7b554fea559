//! A fault in mid-run: done to an upstream that was started here, or by commands.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a started upstream has to say its first line, and a command to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What shall go wrong.
pub(crate) struct Fault {
    pub(crate) doing: Doing,
    /// When, since the run's begin.
    pub(crate) at: Duration,
    /// How long; to the end where none.
    pub(crate) span: Option<Duration>,
    /// The upstream that is started here.
    pub(crate) command: Option<String>,
}

pub(crate) enum Doing {
    Kill,
    Hang,
    Commands { begin: String, end: Option<String> },
}

/// A fault and the upstream it is done to. Dropped, it stops that upstream.
pub(crate) struct Stage {
    fault: Fault,
    child: Option<Child>,
    /// Reads what the upstream says, so that it never waits for a reader nor loses one.
    readers: JoinSet<()>,
}

impl Stage {
    /// Starts the upstream, if there is one to start, and waits until it says something: that it listens.
    pub(crate) async fn set(fault: Fault) -> Result<Self, String> {
        let mut stage = Stage { fault, child: None, readers: JoinSet::new() };
        stage.start().await?;
        Ok(stage)
    }

    pub(crate) fn fault(&self) -> &Fault {
        &self.fault
    }

    async fn start(&mut self) -> Result<(), String> {
        let Some(command) = &self.fault.command else { return Ok(()) };
        let wrong = |error: &dyn std::fmt::Display| format!("--victim-command `{command}`: {error}");
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| wrong(&error))?;
        if let Some(output) = child.stdout.take() {
            let mut lines = BufReader::new(output).lines();
            match timeout(PATIENCE, lines.next_line()).await {
                Ok(Ok(Some(_))) => {}
                Ok(_) => return Err(wrong(&"it ended without a word")),
                Err(_) => return Err(wrong(&"it did not say that it listens")),
            }
            self.readers.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        }
        self.child = Some(child);
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|id| Pid::from_raw(id as i32));
        let pid = pid.ok_or("the victim has ended by itself")?;
        kill_process(pid, signal).map_err(|error| format!("the victim can't be signalled: {error}"))
    }

    /// Makes it go wrong.
    pub(crate) async fn begin(&mut self) -> Result<(), String> {
        match &self.fault.doing {
            Doing::Kill => {
                self.signal(Signal::KILL)?;
                if let Some(mut child) = self.child.take() {
                    child.wait().await.map_err(|error| error.to_string())?;
                }
                Ok(())
            }
            Doing::Hang => self.signal(Signal::STOP),
            Doing::Commands { begin, .. } => command(begin).await,
        }
    }

    /// Makes it right again.
    pub(crate) async fn end(&mut self) -> Result<(), String> {
        match &self.fault.doing {
            Doing::Kill => self.start().await,
            Doing::Hang => self.signal(Signal::CONT),
            Doing::Commands { end: Some(end), .. } => command(end).await,
            Doing::Commands { end: None, .. } => Ok(()),
        }
    }
}

async fn command(text: &str) -> Result<(), String> {
    let status = Command::new("sh").args(["-c", text]).stdin(Stdio::null()).kill_on_drop(true).status();
    match timeout(PATIENCE, status).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("`{text}`: {status}")),
        Ok(Err(error)) => Err(format!("`{text}`: {error}")),
        Err(_) => Err(format!("`{text}` did not end")),
    }
}
