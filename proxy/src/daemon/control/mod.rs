//! The control socket: how commands on the same machine find the running proxy, whatever its configuration file says by
//! now. It needs no credentials and no address: who may open the socket's file may ask.
//!
//! The protocol is one line of JSON each way on a Unix stream socket; then the connection ends.
//!
//! | Request | Answer |
//! |---|---|
//! | `{"command":"health"}` | `{"result":"health","status":"ok","config_epoch":1,"reloads":0,"reload_failed":false}` |
//! | `{"command":"reload"}` | `{"result":"reloaded","config_epoch":2,"changes":[…],"restart_required":[…],"warnings":[…]}` |
//! | | `{"result":"refused","problems":"…"}`: the configuration can't be used, the old one stays in force |
//! | `{"command":"statistics"}` | `{"result":"statistics","page":"…"}`: the text of `/stats` |
//! | `{"command":"requests","failed":false}` | `{"result":"requests","page":"…"}`: the text of `/requests`, or of `/requests?failed` |
//! | `{"command":"explain","request":7}` | the same with the text of `/requests/7` |
//! | `{"command":"steer","upstream":"…","order":"disable"}` | `{"result":"steered","change":"…","warnings":[…]}`; other orders: |
//! | | `"enable"`, `"drain"`, `"eject"`, `"restore"`, `{"weight":7}` |
//! | `{"command":"tunnels"}` | `{"result":"tunnels","page":"…"}`: the open tunnels, as JSON |
//! | `{"command":"close_tunnels","which":{"user":"…"}}` | `{"result":"tunnels_closed","closed":3}`; `which` has one or more of |
//! | | `upstream`, `user`, `target`, `idle_for_ms` and `id` |
//! | `{"command":"compare","path":"/…"}` | `{"result":"compared","changes":[…],"by_hand":[…],"restart_required":[…],"warnings":[…]}`, |
//! | | or `refused` as above |
//! | `{"command":"log_level"}` | `{"result":"log_level","level":"info"}`; with `"level":"debug"` that is set, and what is answered is |
//! | | the one before |
//! | `{"command":"record"}` | `{"result":"recorded","bytes":12345,"events":100,"missed":0}`, and behind it so many bytes: the last events |
//! | | as a log of JSON lines, from the flight recorder |
//! | `{"command":"drain"}` | `{"result":"draining"}`: as SIGTERM |
//! | `{"command":"upgrade"}` | `{"result":"upgraded","pid":7}`: the program was started anew, and that process serves now |
//! | `{"command":"hand_over"}` | `{"result":"handed_over"}` with descriptors beside it; then `{"command":"took_over"}` on the same |
//! | | connection, and its answer `{"result":"retired"}`: `hand_over.rs` |
//! | anything else | `{"result":"error","error":"…"}` |

mod client;
mod hand_over;
mod server;
mod socket;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::context::Health;
use crate::event::RequestId;
use crate::proxy::{Order, TunnelFilter};

pub use client::{ask, record};
pub use hand_over::{Handed, Holdings, TakeOver};
pub use server::{Pending, PendingHandOver, PendingReload, PendingUpgrade, serve};
pub use socket::{ControlSocket, ControlSocketError};

/// What may be asked of a running proxy. A field that is not known is refused: it may change what is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How it is.
    Health {},
    /// Read the configuration again, and answer once it is in force or refused.
    Reload {},
    /// What it has counted.
    Statistics {},
    /// The last requests: all, or those that did not go well.
    Requests {
        /// Which.
        failed: bool,
    },
    /// Why a request went where it did.
    Explain {
        /// Its number.
        request: RequestId,
    },
    /// Set an upstream by hand.
    Steer {
        /// How it is called.
        upstream: String,
        /// What to do with it.
        order: Order,
    },
    /// The tunnels that are open.
    Tunnels {},
    /// Close tunnels by hand.
    CloseTunnels {
        /// Which.
        which: TunnelFilter,
    },
    /// Say what a reload with another file would change, and change nothing.
    Compare {
        /// The file, absolute. It is read as a reload would: by the proxy, with its environment.
        path: PathBuf,
    },
    /// Say the level of the log, or set another one.
    LogLevel {
        /// Which, if one is to be set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<String>,
    },
    /// The last events, as the flight recorder has them.
    Record {},
    /// Drain, and end.
    Drain {},
    /// Start the program anew, and answer once it has taken over, or could not.
    Upgrade {},
    /// Hand over what only one process can have.
    HandOver {},
    /// The process that asked for a hand-over serves now: the one that is asked ends with its last connection.
    TookOver {},
}

/// What a running proxy answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Answer {
    /// How it is.
    Health(Health),
    /// What it has counted, as the page of statistics says it.
    Statistics {
        /// Its text.
        page: String,
    },
    /// What it remembers of requests, or of one.
    Requests {
        /// The text of the page that says it.
        page: String,
    },
    /// An upstream is set as asked.
    Steered {
        /// What changed, or that nothing did.
        change: String,
        /// What may not be as meant.
        warnings: Vec<String>,
    },
    /// The tunnels that are open.
    Tunnels {
        /// A list of them, as JSON.
        page: String,
    },
    /// Tunnels were closed.
    TunnelsClosed {
        /// How many.
        closed: usize,
    },
    /// What a reload would do.
    Compared {
        /// What would change, a line each.
        changes: Vec<String>,
        /// What was set by hand and would end, a line each.
        by_hand: Vec<String>,
        /// What would keep its old value until a restart.
        restart_required: Vec<String>,
        /// What would run but probably not as meant.
        warnings: Vec<String>,
    },
    /// The level of the log, before another one was set.
    LogLevel {
        /// A word or a filter.
        level: String,
    },
    /// The last events come behind this answer, as a log of JSON lines.
    Recorded(Recorded),
    /// It drains.
    Draining {},
    /// The configuration was read and is in force.
    Reloaded {
        /// Its number, counted from 1.
        config_epoch: u64,
        /// What changed, a line each; empty where nothing did.
        changes: Vec<String>,
        /// What keeps its old value until a restart.
        restart_required: Vec<String>,
        /// What will run but probably not as meant.
        warnings: Vec<String>,
    },
    /// The configuration can't be used; the old one stays in force.
    Refused {
        /// All that is wrong with it, a line each.
        problems: String,
    },
    /// Another process serves in this one's place, which ends with its last connection.
    Upgraded {
        /// Its process id.
        pid: i32,
    },
    /// Descriptors come with this answer. Both processes may accept clients from now on.
    HandedOver {
        /// Whether the socket of the proxy's own pages is among them.
        #[serde(default)]
        admin: bool,
    },
    /// No further client is accepted, and what is open goes on until it ends.
    Retired {},
    /// The request can't be answered.
    Error {
        /// Why.
        error: String,
    },
}

/// What the flight recorder has remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The length of the log that comes behind it.
    pub bytes: u64,
    /// Its lines.
    pub events: usize,
    /// Events that could not be remembered since the start.
    pub missed: u64,
}

/// The longest request in bytes, line break included.
const MAX_REQUEST: usize = 4 * 1024;

/// The longest answer in bytes: a hundred problems or a change for each of thousands of upstreams fit well.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
