//! Lists every fault of the catalogue, what a client must see of it, and who has to answer for it.

use proxy::core::attribution::Author;
use proxy::core::attribution::Rule::{self, CredentialsRefused, MalformedHead, Tls, Unreachable};

use Blamed::{Client, Empty, OutOfReach, Suspect, Unknown, Upstream};
use Sees::{Aborted, Altered, Answer, Behind, Ended, Endless, Reset, Success};

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// CONNECT to a target that sends back what it gets.
    Tunnel,
    /// A page by plain HTTP.
    Get,
    /// Two pages over one connection.
    GetTwice,
}

/// What the client must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sees {
    /// What the target sent, every byte and no more.
    Success,
    /// The same, with these bytes of the upstream in front.
    Behind(&'static str),
    /// An open tunnel whose bytes are not what the target sent, so many more of them: nobody but the client can tell.
    Altered { more: usize },
    /// An open tunnel, at least so many true bytes, an end in order.
    Ended { least: usize },
    /// An open tunnel, at least so many true bytes, a reset.
    Reset { least: usize },
    /// The upstream's own status and body.
    Answer(u16, &'static str),
    /// The upstream's status, then a reset in the place of the body's end.
    Aborted(u16),
    /// A body without an end, for as long as the client takes it.
    Endless,
}

/// Who is blamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blamed {
    /// Nothing failed, or what failed inside a tunnel is between its ends.
    Nobody,
    /// The client, who left.
    Client,
    /// Somebody behind us; nothing tells who.
    Unknown,
    /// The upstream, at once.
    Upstream(Rule),
    /// The upstream, at once; but our own network, where most upstreams are out of reach.
    OutOfReach,
    /// The upstream, since another one opens the same target. Without another it is unknown; where another fails
    /// alike it is the target. It ejects only by a probe of our own that fails too.
    Suspect,
    /// The same, of a tunnel that brought nothing: once another upstream delivers from the target.
    Empty,
}

/// An attempt that fails before anything went to the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failover {
    /// The word for what went wrong.
    pub(crate) failure: &'static str,
    /// What the client gets where there is no other upstream.
    pub(crate) alone: u16,
    /// What it gets where the other upstream fails alike.
    pub(crate) alike: u16,
}

/// One fault, asked for in one or more ways.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) fault: &'static str,
    /// Its settings as JSON.
    pub(crate) with: &'static str,
    pub(crate) asks: &'static [Asks],
    pub(crate) sees: Sees,
    /// `Some`: the request must go on through another upstream.
    pub(crate) failover: Option<Failover>,
    pub(crate) blamed: Blamed,
    /// Who could have written what the proxy sees; `None` where it has nothing to object to.
    pub(crate) author: Option<Author>,
    /// Whether enough of it ejects the upstream.
    pub(crate) ejects: bool,
    /// The time-out that ends it.
    pub(crate) waits: Option<&'static str>,
}

const fn row(fault: &'static str, asks: &'static [Asks], sees: Sees) -> Row {
    let (failover, blamed, author, ejects, waits) = (None, Blamed::Nobody, None, false, None);
    Row { fault, with: "{}", asks, sees, failover, blamed, author, ejects, waits }
}

impl Row {
    const fn with(self, with: &'static str) -> Self {
        Row { with, ..self }
    }

    const fn fails(self, failure: &'static str, alone: u16) -> Self {
        Row { failover: Some(Failover { failure, alone, alike: alone }), ..self }
    }

    /// What both upstreams say alike is the target's own word.
    const fn alike(self, alike: u16) -> Self {
        match self.failover {
            Some(failover) => Row { failover: Some(Failover { alike, ..failover }), ..self },
            None => self,
        }
    }

    const fn blames(self, blamed: Blamed) -> Self {
        Row { blamed, ..self }
    }

    const fn written_by(self, author: Author) -> Self {
        Row { author: Some(author), ..self }
    }

    const fn ejects(self) -> Self {
        Row { ejects: true, ..self }
    }

    /// What the target could have caused as well: only a probe of our own ejects for it.
    const fn suspect(self) -> Self {
        self.written_by(Author::UpstreamOrTarget).blames(Suspect).ejects()
    }

    const fn waits(self, waits: &'static str) -> Self {
        Row { waits: Some(waits), ..self }
    }
}

const EITHER: Author = Author::UpstreamOrTarget;

const TUNNEL: &[Asks] = &[Asks::Tunnel];
const GET: &[Asks] = &[Asks::Get];
const TWICE: &[Asks] = &[Asks::GetTwice];
const BOTH: &[Asks] = &[Asks::Tunnel, Asks::Get];

/// A reply to CONNECT that can't be read.
const fn malformed(fault: &'static str) -> Row {
    let row = row(fault, TUNNEL, Success).fails("malformed_head", 502);
    row.written_by(Author::Upstream).blames(Upstream(MalformedHead)).ejects()
}

/// A page that can't be read.
const fn odd_page(fault: &'static str) -> Row {
    row(fault, GET, Success).fails("malformed_head", 502).suspect()
}

/// No reply in time.
const fn silent(fault: &'static str) -> Row {
    row(fault, BOTH, Success).fails("reply_timeout", 504).suspect().waits("reply")
}

/// An end in the place of a reply.
const fn gone(fault: &'static str, failure: &'static str) -> Row {
    row(fault, BOTH, Success).fails(failure, 502).suspect()
}

/// No TCP connection.
const fn unreachable(fault: &'static str, failure: &'static str, alone: u16) -> Row {
    let row = row(fault, BOTH, Success).fails(failure, alone);
    row.written_by(Author::Upstream).blames(Upstream(Unreachable)).ejects()
}

/// No TLS session.
const fn unsealed(fault: &'static str) -> Row {
    let row = row(fault, BOTH, Success).fails("tls_failed", 502);
    row.written_by(Author::Upstream).blames(Upstream(Tls)).ejects()
}

/// A status that can't tell the upstream from the target, in reply to CONNECT.
const fn refused(fault: &'static str, failure: &'static str, alone: u16) -> Row {
    row(fault, TUNNEL, Success).fails(failure, alone).suspect()
}

/// A gateway's status: whether it is asked for a tunnel or a page, another upstream may do better.
const fn gateway(fault: &'static str, status: u16) -> Row {
    row(fault, BOTH, Success).fails("status_5xx", status).suspect()
}

/// A 407 to CONNECT is the upstream's, about our credentials.
const fn locked(fault: &'static str) -> Row {
    let row = row(fault, TUNNEL, Success).fails("status_407", 502);
    row.written_by(Author::Upstream).blames(Upstream(CredentialsRefused)).ejects()
}

/// A 407 to plain HTTP may be the target's, who wants our credentials or a client's.
const fn locked_page(fault: &'static str) -> Row {
    row(fault, GET, Success).fails("status_407", 502).suspect()
}

/// The catalogue's order, family by family.
pub(crate) const TABLE: &[Row] = &[
    // Before the head.
    unreachable("refuse", "connect_refused", 502),
    gone("accept-close", "closed_before_head"),
    gone("accept-reset", "reset_before_head"),
    silent("accept-silent"),
    unreachable("backlog-full", "connect_timeout", 504).blames(OutOfReach).waits("connect"),
    silent("accept-late").with(r#"{"delay": "1h"}"#),
    // In the TLS handshake.
    unsealed("certificate-expired"),
    unsealed("certificate-other-name"),
    unsealed("certificate-untrusted"),
    unsealed("handshake-alert"),
    unsealed("handshake-http"),
    unsealed("handshake-cut"),
    // In the reply.
    refused("status-400", "status_4xx", 502).alike(400),
    row("status-400", GET, Answer(400, "400 Bad Request\n")),
    // A 401 of ours would need a challenge.
    refused("status-401", "status_4xx", 502),
    row("status-401", GET, Answer(401, "401 Unauthorized\n")),
    refused("status-403", "status_4xx", 502).alike(403),
    row("status-403", GET, Answer(403, "403 Forbidden\n")),
    refused("status-404", "status_4xx", 502).alike(404),
    row("status-404", GET, Answer(404, "404 Not Found\n")),
    locked("status-407"),
    locked_page("status-407"),
    locked("status-407-bare"),
    locked_page("status-407-bare"),
    refused("status-408", "status_4xx", 502).alike(408),
    row("status-408", GET, Answer(408, "408 Request Timeout\n")),
    refused("status-429", "status_4xx", 502).alike(429),
    row("status-429", GET, Answer(429, "429 Too Many Requests\n")),
    refused("status-500", "status_5xx", 502),
    row("status-500", GET, Answer(500, "500 Internal Server Error\n")),
    gateway("status-502", 502),
    gateway("status-503", 503),
    gateway("status-504", 504),
    row("status-204", TUNNEL, Success),
    refused("redirect", "status_3xx", 502),
    row("redirect", GET, Answer(302, "302 Found\n")),
    refused("status", "status_4xx", 502).alike(418),
    row("status", GET, Answer(418, "418 Given\n")),
    row("informational", TUNNEL, Success),
    row("length-on-200", TUNNEL, Behind("hello")),
    row("chunked-on-200", TUNNEL, Success),
    row("http-1.0", TUNNEL, Success),
    row("no-reason", TUNNEL, Success),
    row("drip", TUNNEL, Success),
    malformed("cut-head"),
    malformed("endless-head"),
    row("unfinished-head", TUNNEL, Success).fails("reply_timeout", 504).suspect().waits("reply"),
    malformed("large-line"),
    malformed("many-lines"),
    row("bare-lf", TUNNEL, Success),
    row("folded-line", TUNNEL, Success),
    malformed("nul"),
    malformed("negative-number"),
    odd_page("negative-number"),
    malformed("absurd-number"),
    odd_page("absurd-number"),
    malformed("absurd-length"),
    odd_page("absurd-length"),
    malformed("http-9.9"),
    odd_page("http-9.9"),
    malformed("garbage"),
    odd_page("garbage"),
    malformed("tls-bytes"),
    odd_page("tls-bytes"),
    malformed("http2-preface"),
    odd_page("http2-preface"),
    row("early-200-reset", TUNNEL, Reset { least: 0 }).written_by(EITHER).blames(Empty),
    row("stalled-tunnel", TUNNEL, Reset { least: 0 }).waits("idle_tunnel"),
    row("glued", TUNNEL, Success),
    row("reply-first", TUNNEL, Success),
    row("reply-first", GET, Aborted(200)).written_by(EITHER).blames(Unknown).waits("body"),
    locked("two-replies"),
    gone("reply-close", "closed_before_head"),
    gone("reply-reset", "reset_before_head"),
    silent("reply-never"),
    silent("reply-late").with(r#"{"delay": "1h"}"#),
    // In the tunnel.
    row("latency", TUNNEL, Success),
    row("bandwidth", TUNNEL, Success),
    row("slice", TUNNEL, Success),
    row("stall", TUNNEL, Reset { least: 1000 }).waits("idle_tunnel"),
    row("cut", TUNNEL, Ended { least: 1000 }),
    row("tunnel-reset", TUNNEL, Reset { least: 1000 }),
    row("timed-cut", TUNNEL, Ended { least: 0 }),
    row("timed-reset", TUNNEL, Reset { least: 1 }),
    row("half-close", TUNNEL, Ended { least: 0 }),
    row("close-late", TUNNEL, Success),
    row("corrupt", TUNNEL, Altered { more: 0 }),
    row("duplicate", TUNNEL, Altered { more: 100 }),
    row("never-read", TUNNEL, Reset { least: 0 }).waits("idle_tunnel"),
    // In plain HTTP replies.
    row("length-too-long", GET, Aborted(200)).written_by(EITHER).blames(Unknown),
    row("length-too-short", GET, Answer(200, "ten")),
    row("broken-chunk", GET, Aborted(200)).written_by(EITHER).blames(Unknown),
    row("cut-body", GET, Aborted(200)).written_by(EITHER).blames(Unknown),
    row("body-reset", GET, Aborted(200)).written_by(EITHER).blames(Unknown),
    row("endless-body", GET, Endless).written_by(Author::Client).blames(Client),
    row("reused-close", TWICE, Success),
    row("keep-alive-lie", TWICE, Answer(200, "ok")),
    row("trailers", GET, Answer(200, "2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")),
    odd_page("large-field"),
    // Of the whole upstream.
    unreachable("flap", "connect_refused", 502).with(r#"{"up": "0s", "down": "1h"}"#),
    unreachable("die", "connect_refused", 502).with(r#"{"down": "1h"}"#),
    silent("brown-out").with(r#"{"delay": "1h", "for": "1h"}"#),
    silent("leak").with(r#"{"step": "1h", "most": "1h"}"#),
    gateway("blame-shifting", 502),
];
