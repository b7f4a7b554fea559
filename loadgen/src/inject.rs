//! Makes an upstream fail in the middle of a run, and makes it right again.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::sockets::ask;

/// How long a started upstream may take to say its first line, and a command to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most bytes that are read of what a victim says at its end.
const MOST_WORDS: u64 = 64 * 1024;

/// A fault in the middle of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How the upstream is made to fail.
    pub method: FaultMethod,
    /// When it begins, since the run's begin.
    pub at: Duration,
    /// How long it lasts; none: to the run's end.
    pub span: Option<Duration>,
    /// The shell command that runs the upstream, where this process has to start it.
    pub command: Option<String>,
}

impl Fault {
    /// When it is over, where it does not last to the run's end.
    pub(crate) fn end(&self) -> Option<Duration> {
        self.span.map(|span| self.at + span)
    }
}

/// How an upstream is made to go wrong, and right again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultMethod {
    /// It is killed; then it is started again.
    Kill,
    /// It is stopped (SIGSTOP); then it is continued.
    Hang,
    /// It is a faulty upstream, and its plan lets it reset each new connection; then the entry is removed.
    Reset,
    /// It is a faulty upstream, and its plan lets its replies come late; then the entry is removed.
    BrownOut {
        /// How late.
        delay: Duration,
    },
    /// Shell commands do it.
    Commands {
        /// What makes it go wrong.
        begin: String,
        /// What makes it right again.
        end: Option<String>,
    },
}

/// The id of our entry in a faulty upstream's plan.
const ENTRY: &str = "loadgen";

/// Does a fault to an upstream. When it is dropped it stops the upstream that it started.
pub(crate) struct FaultInjector {
    fault: Fault,
    child: Option<Child>,
    /// The address of a faulty upstream's admin port.
    admin: String,
    /// Reads what the upstream says, so that it never waits for a reader nor loses one.
    readers: JoinSet<()>,
}

impl FaultInjector {
    /// Starts the upstream, if there is one to start, and waits until it says something: that it listens.
    pub(crate) async fn prepare(fault: Fault) -> Result<Self, String> {
        let mut injector = FaultInjector { fault, child: None, admin: String::new(), readers: JoinSet::new() };
        injector.start().await?;
        Ok(injector)
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
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| wrong(&error))?;
        let (Some(output), Some(mut errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(wrong(&"it has no output"));
        };
        let mut lines = BufReader::new(output).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(word) = self.fault.method.ready(&line) {
                    return Some(word);
                }
            }
            None
        };
        match timeout(PATIENCE, ready).await {
            Ok(Some(word)) => self.admin = word,
            Ok(None) => {
                let awaited = self.fault.method.awaited();
                return Err(wrong(&format!("it ended before it said {awaited}; {}", last_words(&mut errors).await)));
            }
            Err(_) => return Err(wrong(&format!("it did not say {}", self.fault.method.awaited()))),
        }
        self.readers.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.readers.spawn(async move { drop(tokio::io::copy(&mut errors, &mut tokio::io::sink()).await) });
        self.child = Some(child);
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|id| Pid::from_raw(id as i32));
        let pid = pid.ok_or("the victim has ended by itself")?;
        kill_process(pid, signal).map_err(|error| format!("the victim can't be signalled: {error}"))
    }

    /// Begins the fault.
    pub(crate) async fn begin(&mut self) -> Result<(), String> {
        match &self.fault.method {
            FaultMethod::Kill => {
                self.signal(Signal::KILL)?;
                if let Some(mut child) = self.child.take() {
                    child.wait().await.map_err(|error| error.to_string())?;
                }
                Ok(())
            }
            FaultMethod::Hang => self.signal(Signal::STOP),
            FaultMethod::Reset => self.add_to_plan(json!({ "id": ENTRY, "fault": "accept-reset" })).await,
            FaultMethod::BrownOut { delay } => {
                let delay = json!({ "delay": format!("{}ms", delay.as_millis()) });
                self.add_to_plan(json!({ "id": ENTRY, "fault": "reply-late", "with": delay })).await
            }
            FaultMethod::Commands { begin, .. } => command(begin).await,
        }
    }

    async fn add_to_plan(&self, entry: Value) -> Result<(), String> {
        ask(&self.admin, "POST /plan/faults", None, &entry.to_string()).await.map(drop)
    }

    /// Ends the fault.
    pub(crate) async fn end(&mut self) -> Result<(), String> {
        match &self.fault.method {
            FaultMethod::Kill => self.start().await,
            FaultMethod::Hang => self.signal(Signal::CONT),
            FaultMethod::Reset | FaultMethod::BrownOut { .. } => {
                ask(&self.admin, &format!("DELETE /plan/faults/{ENTRY}"), None, "").await.map(drop)
            }
            FaultMethod::Commands { end: Some(end), .. } => command(end).await,
            FaultMethod::Commands { end: None, .. } => Ok(()),
        }
    }
}

/// Writes it in a word or two, for the report.
impl fmt::Display for FaultMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultMethod::Kill => f.write_str("kill"),
            FaultMethod::Hang => f.write_str("hang"),
            FaultMethod::Reset => f.write_str("reset"),
            FaultMethod::BrownOut { .. } => f.write_str("brown-out"),
            FaultMethod::Commands { begin, .. } => write!(f, "fault by `{begin}`"),
        }
    }
}

impl FaultMethod {
    /// Whether `line` says that the victim is ready; for a faulty upstream, where its admin port is.
    fn ready(&self, line: &str) -> Option<String> {
        match self {
            FaultMethod::Reset | FaultMethod::BrownOut { .. } => line.strip_prefix("admin on ").map(str::to_owned),
            _ => Some(line.to_owned()),
        }
    }

    fn awaited(&self) -> &'static str {
        match self {
            FaultMethod::Reset | FaultMethod::BrownOut { .. } => {
                "`admin on HOST:PORT`, as faulty-upstream does: this fault is done through that port"
            }
            _ => "that it listens, or any other line",
        }
    }
}

/// The last line that a victim which has ended wrote to standard error.
async fn last_words(errors: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    // A descendant may keep it open.
    let _ = timeout(PATIENCE, errors.take(MOST_WORDS).read_to_end(&mut text)).await;
    let text = String::from_utf8_lossy(&text);
    text.lines().last().map_or_else(|| "it gave no reason".to_owned(), |line| format!("its last words: {line}"))
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
