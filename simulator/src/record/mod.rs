//! This room records a run: the events of the proxy, the upstreams, the clients and the scenario, in order.

mod client_event;
mod clock;
mod event;
mod gave_up;
mod log_line;
mod observer;
mod proxy_event;
mod recorder;
mod run_record;
mod trace;
pub mod words;

pub use client_event::{ClientEvent, ClientResult, Phases};
pub use clock::{Clock, micros};
pub use event::{ScenarioEvent, What};
pub use gave_up::GaveUp;
pub use log_line::parse as parse_log_line;
pub use observer::RecordingObserver;
pub use proxy_event::{Finished, ProxyEvent};
pub use recorder::Recorder;
pub use run_record::{ProxyLog, RunRecord};
pub use trace::{Digest, Line, Trace};
