//! A proxy in this process has an observer that records every event.

use proxy::core::time::Timestamp;
use proxy::event::{Event, Observer};

use super::event::What;
use super::proxy_event::from_event;
use super::recorder::Recorder;
use crate::scenario::HostName;

/// Hears the proxy on `host`.
pub struct RecordingObserver {
    /// Where it runs.
    pub host: HostName,
    /// Where it is written down.
    pub recorder: Recorder,
}

impl Observer for RecordingObserver {
    fn on(&self, _: Timestamp, event: &Event<'_>) {
        let event = from_event(event, |id| self.recorder.upstream(id));
        self.recorder.write(&self.host, What::Proxy(event));
    }
}
