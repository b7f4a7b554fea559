//! A fault in mid-run: done to an upstream that was started here, or by commands.

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

/// How long a started upstream has to say its first line, and a command to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most that is read of what a victim says in its end.
const MOST_WORDS: u64 = 64 * 1024;

/// What shall go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How.
    pub doing: Doing,
    /// When, since the run's begin.
    pub at: Duration,
    /// How long; none: to the run's end.
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
pub enum Doing {
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

/// A fault and the upstream it is done to. Dropped, it stops that upstream.
pub(crate) struct Stage {
    fault: Fault,
    child: Option<Child>,
    /// Where a faulty upstream says that it is controlled.
    admin: String,
    /// Reads what the upstream says, so that it never waits for a reader nor loses one.
    readers: JoinSet<()>,
}

impl Stage {
    /// Starts the upstream, if there is one to start, and waits until it says something: that it listens.
    pub(crate) async fn set(fault: Fault) -> Result<Self, String> {
        let mut stage = Stage { fault, child: None, admin: String::new(), readers: JoinSet::new() };
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
                if let Some(word) = self.fault.doing.ready(&line) {
                    return Some(word);
                }
            }
            None
        };
        match timeout(PATIENCE, ready).await {
            Ok(Some(word)) => self.admin = word,
            Ok(None) => {
                let awaited = self.fault.doing.awaited();
                return Err(wrong(&format!("it ended before it said {awaited}; {}", last_words(&mut errors).await)));
            }
            Err(_) => return Err(wrong(&format!("it did not say {}", self.fault.doing.awaited()))),
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
            Doing::Reset => self.add_to_plan(json!({ "id": ENTRY, "fault": "accept-reset" })).await,
            Doing::BrownOut { delay } => {
                let delay = json!({ "delay": format!("{}ms", delay.as_millis()) });
                self.add_to_plan(json!({ "id": ENTRY, "fault": "reply-late", "with": delay })).await
            }
            Doing::Commands { begin, .. } => command(begin).await,
        }
    }

    async fn add_to_plan(&self, entry: Value) -> Result<(), String> {
        ask(&self.admin, "POST /plan/faults", None, &entry.to_string()).await.map(drop)
    }

    /// Makes it right again.
    pub(crate) async fn end(&mut self) -> Result<(), String> {
        match &self.fault.doing {
            Doing::Kill => self.start().await,
            Doing::Hang => self.signal(Signal::CONT),
            Doing::Reset | Doing::BrownOut { .. } => {
                ask(&self.admin, &format!("DELETE /plan/faults/{ENTRY}"), None, "").await.map(drop)
            }
            Doing::Commands { end: Some(end), .. } => command(end).await,
            Doing::Commands { end: None, .. } => Ok(()),
        }
    }
}

/// In a word or two, for the report.
impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doing::Kill => f.write_str("kill"),
            Doing::Hang => f.write_str("hang"),
            Doing::Reset => f.write_str("reset"),
            Doing::BrownOut { .. } => f.write_str("brown-out"),
            Doing::Commands { begin, .. } => write!(f, "fault by `{begin}`"),
        }
    }
}

impl Doing {
    /// Whether `line` says that the victim is ready; for a faulty upstream, where its admin port is.
    fn ready(&self, line: &str) -> Option<String> {
        match self {
            Doing::Reset | Doing::BrownOut { .. } => line.strip_prefix("admin on ").map(str::to_owned),
            _ => Some(line.to_owned()),
        }
    }

    fn awaited(&self) -> &'static str {
        match self {
            Doing::Reset | Doing::BrownOut { .. } => {
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
