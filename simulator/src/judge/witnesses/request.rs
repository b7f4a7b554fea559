//! A request, as its client saw it.

use std::time::Duration;

use mock_upstreams::journal::Record;

use crate::record::ClientResult;
use crate::scenario::Entrance;

/// What a client saw of one request.
#[derive(Clone, Copy, Debug)]
pub struct ClientRequest<'a> {
    /// The host of its client.
    pub client: &'a str,
    /// Which listener of the proxy its client comes to.
    pub entrance: Entrance,
    /// The line of its begin.
    pub line: usize,
    /// When it began.
    pub began: Duration,
    /// What it does, by loadgen's name of the action.
    pub action: &'static str,
    /// Its method.
    pub method: &'a str,
    /// Its target, as `host:port`.
    pub target: &'a str,
    /// As whom.
    pub user: Option<&'a str>,
    /// Its end, if it ever ended.
    pub end: Option<RequestEnd<'a>>,
}

/// The end of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestEnd<'a> {
    /// Its line.
    pub line: usize,
    /// When.
    pub at: Duration,
    /// How it went.
    pub result: &'a ClientResult,
}

impl<'a> ClientRequest<'a> {
    /// Whether it asks for a tunnel.
    pub fn is_tunnel(&self) -> bool {
        self.method == "CONNECT"
    }

    /// Whether the proxy may send it to another upstream although one may have acted on it.
    pub fn is_repeatable(&self) -> bool {
        self.is_tunnel() || matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "TRACE")
    }

    /// Its target's host.
    pub fn host(&self) -> &'a str {
        self.target.rsplit_once(':').map_or(self.target, |(host, _)| host)
    }

    /// Whether an upstream has written down no byte of what its client sent, or none of what it got. The entry may be that of a probe
    /// with the same target, or of an attempt that opened the tunnel too late.
    pub fn is_foreign_to(&self, record: &Record) -> bool {
        let moved = |result: &ClientResult| result.up.bytes > 0 || result.down.bytes > 0 && record.down.bytes == 0;
        let is_tunnel = self.is_tunnel() || self.action == "websocket";
        is_tunnel && record.up.bytes == 0 && self.result().is_some_and(moved)
    }

    /// How it went, if it ended.
    pub fn result(&self) -> Option<&'a ClientResult> {
        self.end.map(|end| end.result)
    }

    /// When its client was told that its tunnel is open.
    pub fn opened(&self) -> Option<Duration> {
        let result = self.result().filter(|result| self.is_tunnel() && result.status == Some(200))?;
        let took = result.phases.connect_us.unwrap_or(0) + result.phases.reply_us?;
        Some(self.began + Duration::from_micros(took))
    }

    /// When its client ended its side of a tunnel through which everything had come back, and began to wait for the other end.
    pub fn half_closed(&self) -> Option<Duration> {
        let result = self.result()?;
        let waits = self.is_tunnel() && matches!(self.action, "echo" | "hold") && result.phases.last_byte_us.is_some();
        // It knows its outcome by then, unless the other end sends what nobody asked for.
        waits.then(|| self.began + Duration::from_micros(result.took_us))
    }

    /// The line of its end, or of its begin where it never ended.
    pub fn last_line(&self) -> usize {
        self.end.map_or(self.line, |end| end.line)
    }
}
