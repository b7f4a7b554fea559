//! The flight recorder: remembers the last minutes of events as the log would tell them at level `debug`, as JSON, and writes them
//! when somebody asks, at SIGUSR2, or by itself when something has gone wrong.
//!
//! It hears the same events as the log, and its lines are made by the same code. Nobody waits for it: `memory.rs` says how.

mod files;
mod memory;
mod triggers;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tokio::signal::unix::Signal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;
use tracing::{Dispatch, Level, dispatcher, info, warn};
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{FlightRecorder, LogFormat};
use crate::core::time::Timestamp;
use crate::daemon::log::Log;
use crate::daemon::log_line::{Framing, LineFormat, stamp};
use crate::env::os::wall;
use crate::event::{Event, Observer};

use files::Files;
use memory::Memory;
use triggers::{Triggers, Why};

/// How long after its cause a record is written by itself: what comes of it belongs into it.
const AFTERMATH: Duration = Duration::from_secs(1);

/// Where the stamp begins in a line: behind `{"timestamp":"`.
const STAMP: usize = 14;

/// Why there is no record, and what to do.
pub const OFF: &str =
    "the flight recorder is off; flight_recorder in the configuration turns it on, with the next start";

/// Why a signal has no record written, and what to do.
const NO_DIRECTORY: &str = "SIGUSR2 needs flight_recorder.directory in the configuration, with the next start; `proxy record` writes a record now";

/// A recorder that runs.
pub struct Recorder {
    memory: Arc<Memory>,
    /// Makes lines of what [`Log`] tells, and puts them into the memory.
    lines: Dispatch,
    log: Log,
    keep: Duration,
    triggers: Triggers,
    asked: mpsc::Sender<Why>,
    /// Taken by what writes records by themselves, when it is started.
    to_write: Mutex<Option<mpsc::Receiver<Why>>>,
    /// Held by whoever reads: each reading takes as much memory again.
    reader: Arc<Semaphore>,
    files: Option<Arc<Files>>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("keep", &self.keep).finish_non_exhaustive()
    }
}

/// What was remembered at one moment.
#[derive(Debug)]
pub struct Record {
    /// A log: lines of JSON.
    pub text: Vec<u8>,
    /// How many lines.
    pub events: usize,
    /// How many events could not be remembered since the start.
    pub missed: u64,
    _turn: OwnedSemaphorePermit,
}

impl Recorder {
    /// The one that is configured.
    ///
    /// # Errors
    /// The directory for records that are written by themselves can't be had; told in a sentence.
    pub fn new(config: &FlightRecorder) -> Result<Self, String> {
        let memory = Arc::new(Memory::new(config.memory));
        let format = LineFormat { shape: LogFormat::Json, framing: Framing::Line, access: None };
        let builder = tracing_subscriber::fmt().with_max_level(Level::DEBUG).log_internal_errors(false);
        let lines = builder.event_format(format).with_writer(Writer(Arc::clone(&memory))).finish().into();
        let (asked, receiver) = mpsc::channel(1);
        let files = config.directory.clone().map(Files::new).transpose()?;
        Ok(Recorder {
            memory,
            lines,
            log: Log::default(),
            keep: config.keep,
            triggers: Triggers::of(config),
            asked,
            to_write: Mutex::new(Some(receiver)),
            reader: Arc::new(Semaphore::new(1)),
            files: files.map(Arc::new),
        })
    }

    /// What is remembered now, and not older than it may be.
    ///
    /// # Errors
    /// Somebody else reads; told in a sentence.
    pub async fn read(self: &Arc<Self>) -> Result<Record, String> {
        let turn = Arc::clone(&self.reader).try_acquire_owned();
        let turn = turn.map_err(|_| "another record is being written; try again".to_owned())?;
        self.read_with(turn).await
    }

    async fn read_with(self: &Arc<Self>, turn: OwnedSemaphorePermit) -> Result<Record, String> {
        let recorder = Arc::clone(self);
        #[expect(clippy::disallowed_methods, reason = "off the runtime, as it may be much; nothing here is simulated")]
        let read = tokio::task::spawn_blocking(move || {
            let since = wall().checked_sub(recorder.keep).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let since = stamp(since.unwrap_or_default().as_secs());
            // Stamps have one width, so that they are in the order of their text.
            let (text, events) =
                recorder.memory.read(|line| line.get(STAMP..STAMP + since.len()) >= Some(since.as_bytes()));
            Record { text, events, missed: recorder.memory.missed(), _turn: turn }
        });
        read.await.map_err(|failed| failed.to_string())
    }

    /// Writes records by themselves, for as long as this is polled; ends at once where none are asked for. No two are written within
    /// the time for which events are kept: what happens meanwhile is in the next one.
    pub async fn write_by_itself(self: Arc<Self>) {
        let asked = self.to_write.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(mut asked), Some(files)) = (asked, &self.files) else { return };
        while let Some(why) = asked.recv().await {
            sleep(AFTERMATH).await;
            tell(why, self.write(why, files).await);
            // The next one reaches back to this one.
            sleep(self.keep.saturating_sub(AFTERMATH)).await;
        }
    }

    async fn write(self: &Arc<Self>, why: Why, files: &Arc<Files>) -> Result<Written, String> {
        let turn = Arc::clone(&self.reader).acquire_owned().await.map_err(|closed| closed.to_string())?;
        let record = self.read_with(turn).await?;
        let files = Arc::clone(files);
        #[expect(clippy::disallowed_methods, reason = "files are written off the runtime; nothing here is simulated")]
        let written = tokio::task::spawn_blocking(move || {
            let path = files.write(why, wall(), &record.text).map_err(|error| error.to_string())?;
            Ok(Written { path, events: record.events, missed: record.missed })
        });
        written.await.map_err(|failed| failed.to_string())?
    }
}

impl Observer for Recorder {
    fn on(&self, at: Timestamp, event: &Event<'_>) {
        dispatcher::with_default(&self.lines, || self.log.on(at, event));
        if let Some(why) = self.triggers.hear(at, event) {
            // Where one waits to be written already, this event will be in it.
            let _ = self.asked.try_send(why);
        }
    }
}

/// A file with a record.
struct Written {
    path: PathBuf,
    events: usize,
    missed: u64,
}

/// Logs what came of a record that nobody waits for.
fn tell(why: Why, outcome: Result<Written, String>) {
    let why = why.as_str();
    match outcome {
        Ok(Written { path, events, missed }) => {
            let path = path.display().to_string();
            info!(path, why, events, missed, event = "flight_recorded", "the last events were written");
        }
        Err(error) => warn!(why, error, event = "flight_record_failed", "the last events can't be written"),
    }
}

/// Writes a record of `recorder` at each signal, for as long as this is polled; logs what to set where that can't be. However many come
/// while one is written, one more follows.
pub async fn write_at(mut signal: Signal, recorder: Option<Arc<Recorder>>) {
    while signal.recv().await.is_some() {
        let outcome = match recorder.as_ref().map(|recorder| (recorder, &recorder.files)) {
            Some((recorder, Some(files))) => recorder.write(Why::Signal, files).await,
            Some((_, None)) => Err(NO_DIRECTORY.to_owned()),
            None => Err(OFF.to_owned()),
        };
        tell(Why::Signal, outcome);
    }
}

/// One line's way into the memory.
#[derive(Clone)]
struct Writer(Arc<Memory>);

impl io::Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use serde_json::Value;
    use tokio::time::timeout;

    use super::*;
    use crate::core::upstream::UpstreamId;

    fn recorder(keep: Duration) -> Arc<Recorder> {
        let (directory, on_ejection, on_failures) = (None, false, None);
        let config = FlightRecorder { memory: 1_000_000, keep, directory, on_ejection, on_failures };
        Arc::new(Recorder::new(&config).unwrap())
    }

    fn lines(record: &Record) -> Vec<Value> {
        let text = std::str::from_utf8(&record.text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn it_remembers_what_a_log_at_level_debug_has_as_json() {
        let recorder = recorder(Duration::from_secs(60));
        recorder.on(Timestamp::ZERO, &Event::Verdict { request: 7, success: true });
        recorder.on(Timestamp::ZERO, &Event::ProbeAsked { upstream: UpstreamId::new(3), target: "a\n\"b" });
        let record = recorder.read().await.unwrap();
        assert_eq!((record.events, record.missed), (2, 0));
        let [verdict, probe] = &lines(&record)[..] else { panic!("{record:?}") };
        assert_eq!((&verdict["event"], &verdict["level"]), (&"verdict".into(), &"DEBUG".into()));
        assert_eq!((&verdict["request"], &verdict["success"]), (&7.into(), &true.into()));
        assert_eq!((&probe["id"], &probe["target"]), (&"u3".into(), &"a\n\"b".into()));
    }

    #[tokio::test]
    async fn what_is_too_old_is_not_told() {
        let recorder = recorder(Duration::from_secs(3600));
        let old = b"{\"timestamp\":\"2001-01-01T00:00:00.000000Z\",\"event\":\"old\"}\n";
        recorder.memory.put(old);
        recorder.on(Timestamp::ZERO, &Event::Verdict { request: 7, success: true });
        let record = recorder.read().await.unwrap();
        assert_eq!((record.events, &lines(&record)[0]["event"]), (1, &"verdict".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_soon_behind_a_record_is_in_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, keep) = (Some(folder.path().to_owned()), Duration::from_secs(60));
        let config = FlightRecorder { memory: 1_000_000, keep, directory, on_ejection: true, on_failures: None };
        let recorder = Arc::new(Recorder::new(&config).unwrap());
        let mut writing = pin!(Arc::clone(&recorder).write_by_itself());
        let ejected = || {
            let (upstream, until) = (UpstreamId::new(0), Timestamp::ZERO);
            let event = Event::Ejected { upstream, name: "", url: "", failures: 3, cause: None, until };
            recorder.on(Timestamp::ZERO, &event);
        };
        // The lines of each file that is there by then.
        let mut after = async |seconds| -> Vec<usize> {
            let span = Duration::from_secs(seconds);
            assert!(timeout(span, writing.as_mut()).await.is_err(), "it goes on");
            let mut files: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            files.iter().map(|path| std::fs::read_to_string(path).unwrap().lines().count()).collect()
        };
        assert_eq!(after(100).await, [0; 0]);
        ejected();
        ejected();
        assert_eq!(after(30).await, [2]);
        (0..3).for_each(|_| ejected());
        assert_eq!(after(30).await, [2], "a minute has not passed yet");
        assert_eq!(after(5).await, [2, 5]);
        assert_eq!(after(1000).await, [2, 5], "nothing has happened since");
    }

    #[tokio::test]
    async fn where_none_is_asked_for_none_is_written() {
        recorder(Duration::from_secs(60)).write_by_itself().await;
    }

    #[tokio::test]
    async fn one_reads_at_a_time() {
        let recorder = recorder(Duration::from_secs(60));
        let record = recorder.read().await.unwrap();
        assert!(recorder.read().await.unwrap_err().contains("try again"));
        drop(record);
        assert_eq!(recorder.read().await.unwrap().events, 0);
    }
}
