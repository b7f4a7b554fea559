//! Load for proxies: clients that measure, and verdicts on what they saw.
//!
//! A [`Workload`] is load at a pace, of a mix of [`Action`]s. [`drive()`] puts it on a proxy: in one task, over streams that
//! come from a [`Connector`], which are sockets, in-memory pipes or a simulated network. `examples/in_memory.rs` shows it
//! whole. [`run::run`] does what the binary does: it checks, makes the load in several threads, asks other witnesses, and
//! gives verdicts and a report.
//!
//! The rooms up to `drive` open no socket, spawn no task and read no clock but tokio's, which follows paused time. What they
//! draw at random is a pure function of a seed and a request's number, in integers. HTTP is read and written here, never by
//! the proxy's code, so that one bug can't cancel itself out.
//!
//! # Rooms
//!
//! A room imports only those that its row names.
//!
//! | Room | Holds | Imports |
//! |---|---|---|
//! | `quantity` | sizes, times and rates, as people write them | |
//! | `workload` | what to send, and when: actions, their mix, pace, users, random draws | `quantity` |
//! | `client` | one request over one stream, from connecting to the record of it | `workload` |
//! | `drive` | many requests in one task, and the sums over them | `client`, `workload` |
//! | `sockets` | what a run needs of this machine: TCP, TLS settings, descriptors, short questions over HTTP | `client` |
//! | `watch` | the other witnesses: the proxy's statistics and process, mock upstreams, our own threads | `sockets` |
//! | `inject` | a fault that is done to an upstream in the middle of a run | `sockets` |
//! | `verdict` | figures against bounds: shares, ledger, failover, thresholds | `drive`, `quantity`, `watch` |
//! | `report` | what a run found, as data and in every form in which it is written | `drive`, `quantity`, `verdict`, `watch`, `workload` |
//! | `run` | one whole run: settings, checks before it, threads, the judge | `client`, `drive`, `inject`, `quantity`, `report`, `sockets`, `verdict`, `watch`, `workload` |
//! | `cli` | the binary's arguments, and the settings that they stand for | `inject`, `quantity`, `report`, `run`, `sockets`, `verdict`, `workload` |

pub mod client;
pub mod drive;
pub mod inject;
pub mod quantity;
pub mod report;
pub mod run;
pub mod sockets;
pub mod verdict;
pub mod watch;
pub mod workload;

pub use client::{Connector, Failure, FailureKind, OpenTunnels, Outcome, Phase, PhaseTimes, RequestRecord};
pub use drive::{RequestEvent, Shard, Tally, drive};
pub use report::LoadReport;
pub use workload::{
    Abuse, Action, ActionKind, ActionShare, ConnectionUse, Mix, Pace, Stage, Stages, Stop, User, Workload,
};
