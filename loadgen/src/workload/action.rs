//! Describes what one request does. It is written as `NAME:OPTION=VALUE,OPTION`, on the command line and in scenarios alike.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::abuse::Abuse;
use super::http_exchange::HttpExchange;
use super::options::Options;
use crate::quantity;

/// What one request does, and with which target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it does.
    pub kind: ActionKind,
    /// `host:port`. `{id}` in it stands for the request's id, which the ledger looks for.
    pub target: String,
    /// How slowly it sends and reads; none: as fast as it can.
    pub throttle: Option<Throttle>,
}

/// How a slow client sends and reads: in small pieces, with a pause behind each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// The bytes of a piece, at least 1.
    pub bytes: usize,
    /// The pause behind each piece.
    pub every: Duration,
}

/// What becomes of the connection of a plain request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionUse {
    /// It ends with the response.
    Once,
    /// It is kept for further requests.
    KeepAlive,
    /// It is kept, and requests that are due at once go out on it together, without waiting for one another's responses.
    Pipelined {
        /// The most requests at once, at least 2.
        most: usize,
    },
}

/// What a request does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Opens a tunnel and closes it.
    Connect,
    /// Opens a tunnel to a target that echoes, and gets back each block that it sends before it sends the next.
    Echo {
        /// Blocks.
        rounds: u32,
        /// Bytes of a block.
        bytes: usize,
        /// Sends the first block right behind the CONNECT, before the reply.
        early: bool,
    },
    /// Sends through a tunnel, ends its side, and reads the target's `BYTES CHECKSUM`.
    Upload {
        /// How many bytes.
        bytes: u64,
    },
    /// Reads the pattern through a tunnel to the target's end, then ends its own side.
    Download {
        /// How many bytes.
        bytes: u64,
        /// Bytes that it sends behind the target's end, before it ends its own side.
        send: u64,
        /// How long it stays silent behind the target's end before it does.
        wait: Duration,
    },
    /// Keeps a tunnel open, with an echoed block now and then.
    Hold {
        /// How long.
        span: Duration,
        /// From one block to the next.
        every: Duration,
        /// Bytes of a block.
        bytes: usize,
    },
    /// Plain HTTP in absolute-form.
    Http {
        /// What is asked for.
        exchange: HttpExchange,
        /// What becomes of its connection.
        connection: ConnectionUse,
    },
    /// Asks the proxy itself, in origin-form, for a page such as `/healthz`.
    Page {
        /// What is asked for.
        exchange: HttpExchange,
        /// What becomes of its connection.
        connection: ConnectionUse,
    },
    /// Opens a WebSocket by an upgrade in absolute-form, and gets back each frame that it sends before it sends the next.
    Websocket {
        /// Frames.
        rounds: u32,
        /// Bytes of a frame's payload.
        bytes: usize,
    },
    /// Does what no good client does, and has to be turned away.
    Abuse {
        /// What it does.
        by: Abuse,
    },
    /// HTTP behind TLS with the target, through a tunnel.
    Tls {
        /// What is asked for.
        exchange: HttpExchange,
    },
}

impl Action {
    /// Its name on the command line and in reports.
    pub fn name(&self) -> &'static str {
        match &self.kind {
            ActionKind::Connect => "connect",
            ActionKind::Echo { .. } => "echo",
            ActionKind::Upload { .. } => "upload",
            ActionKind::Download { .. } => "download",
            ActionKind::Hold { .. } => "hold",
            ActionKind::Http { .. } => "http",
            ActionKind::Page { .. } => "page",
            ActionKind::Websocket { .. } => "websocket",
            ActionKind::Abuse { .. } => "abuse",
            ActionKind::Tls { .. } => "tls",
        }
    }

    /// Whether it asks for a tunnel.
    pub fn is_tunnel(&self) -> bool {
        !matches!(
            self.kind,
            ActionKind::Http { .. } | ActionKind::Page { .. } | ActionKind::Websocket { .. } | ActionKind::Abuse { .. }
        )
    }

    /// Whether it may go out on a connection that earlier requests have used.
    pub fn may_reuse(&self) -> bool {
        matches!(self.kind, ActionKind::Http { .. } | ActionKind::Page { .. })
    }

    /// What becomes of its connection.
    pub fn connection(&self) -> ConnectionUse {
        match self.kind {
            ActionKind::Http { connection, .. } | ActionKind::Page { connection, .. } => connection,
            _ => ConnectionUse::Once,
        }
    }

    /// How many requests that are due at once share a connection, none waiting for another's response.
    pub fn pipeline(&self) -> usize {
        match self.connection() {
            ConnectionUse::Pipelined { most } => most,
            ConnectionUse::Once | ConnectionUse::KeepAlive => 1,
        }
    }

    /// The HTTP method that the proxy sees.
    pub fn method(&self) -> &str {
        match &self.kind {
            ActionKind::Http { exchange, .. } | ActionKind::Page { exchange, .. } => &exchange.method,
            ActionKind::Websocket { .. } | ActionKind::Abuse { .. } => "GET",
            _ => "CONNECT",
        }
    }

    /// Its target, as `host:port`, for the request with that id.
    pub fn target_for(&self, id: &str) -> String {
        self.target.replace("{id}", id)
    }
}

/// Writes one line that reads back as the same action.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:target={}", self.name(), self.target)?;
        match &self.kind {
            ActionKind::Connect => {}
            ActionKind::Echo { rounds, bytes, early } => {
                write!(f, ",rounds={rounds},bytes={bytes}")?;
                if *early {
                    write!(f, ",early")?;
                }
            }
            ActionKind::Upload { bytes } => write!(f, ",bytes={bytes}")?,
            ActionKind::Download { bytes, send, wait } => {
                write!(f, ",bytes={bytes}")?;
                if *send > 0 {
                    write!(f, ",send={send}")?;
                }
                if !wait.is_zero() {
                    write!(f, ",wait={}", humantime::format_duration(*wait))?;
                }
            }
            ActionKind::Hold { span, every, bytes } => {
                let (span, every) = (humantime::format_duration(*span), humantime::format_duration(*every));
                write!(f, ",for={span},every={every},bytes={bytes}")?;
            }
            ActionKind::Http { exchange, connection } | ActionKind::Page { exchange, connection } => {
                write!(f, "{exchange}")?;
                match connection {
                    ConnectionUse::Once => {}
                    ConnectionUse::KeepAlive => write!(f, ",keep-alive")?,
                    ConnectionUse::Pipelined { most } => write!(f, ",pipeline={most}")?,
                }
            }
            ActionKind::Abuse { by } => write!(f, ",by={by}")?,
            ActionKind::Websocket { rounds, bytes } => write!(f, ",rounds={rounds},bytes={bytes}")?,
            ActionKind::Tls { exchange } => write!(f, "{exchange}")?,
        }
        if let Some(Throttle { bytes, every }) = self.throttle {
            write!(f, ",slow={bytes}/{}", humantime::format_duration(every))?;
        }
        Ok(())
    }
}

const NAMES: &str = "connect, echo, upload, download, hold, http, page, websocket, abuse, tls";

/// The most requests that wait for their responses on one connection.
const MOST_PIPELINED: usize = 64;

/// Reads `NAME:OPTION=VALUE,OPTION`; what is left out has its default.
impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let mut options = Options::read(name, options)?;
        let target = options.take("target");
        let throttle = options.take("slow").map(|value| throttle(&value)).transpose()?;
        let kind = match name {
            "connect" => ActionKind::Connect,
            "echo" => ActionKind::Echo {
                rounds: options.number("rounds", 1)?,
                bytes: options.block(64)?,
                early: options.flag("early")?,
            },
            "upload" => ActionKind::Upload { bytes: options.bytes("bytes", 65_536)? },
            "download" => ActionKind::Download {
                bytes: options.bytes("bytes", 65_536)?,
                send: options.bytes("send", 0)?,
                wait: options.duration("wait", Duration::ZERO)?,
            },
            "hold" => ActionKind::Hold {
                span: options.duration("for", Duration::from_secs(60))?,
                every: options.duration("every", Duration::from_secs(5))?.max(Duration::from_millis(1)),
                bytes: options.block(64)?,
            },
            "http" | "page" => {
                let exchange = HttpExchange::read(&mut options)?;
                let connection = connection_use(&mut options, &exchange)?;
                match name {
                    "page" => ActionKind::Page { exchange, connection },
                    _ => ActionKind::Http { exchange, connection },
                }
            }
            "websocket" => ActionKind::Websocket { rounds: options.number("rounds", 1)?, bytes: options.block(64)? },
            "abuse" => ActionKind::Abuse { by: options.take("by").as_deref().unwrap_or("silence").parse()? },
            "tls" => ActionKind::Tls { exchange: HttpExchange::read(&mut options)? },
            _ => return Err(format!("`{name}` is no action; there are {NAMES}")),
        };
        options.none_left()?;
        let target = target.unwrap_or_else(|| default_target(&kind));
        check_target(&target)?;
        Ok(Action { kind, target, throttle })
    }
}

fn default_target(kind: &ActionKind) -> String {
    match kind {
        ActionKind::Connect | ActionKind::Echo { .. } | ActionKind::Hold { .. } => "{id}.echo.mock:80".to_owned(),
        ActionKind::Upload { .. } => "{id}.sink.mock:80".to_owned(),
        ActionKind::Download { bytes, .. } => format!("{{id}}.n{bytes}.source.mock:80"),
        ActionKind::Http { .. } => "{id}.http.mock:80".to_owned(),
        ActionKind::Page { .. } | ActionKind::Abuse { .. } => "localhost:80".to_owned(),
        ActionKind::Websocket { .. } => "{id}.websocket.mock:80".to_owned(),
        ActionKind::Tls { .. } => "{id}.tls.mock:443".to_owned(),
    }
}

/// Refuses what would break a request line, or needs a port to be guessed.
fn check_target(target: &str) -> Result<(), String> {
    let (host, port) = target.rsplit_once(':').unwrap_or((target, ""));
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:{}".contains(&byte));
    if host.is_empty() || !plain || port.parse::<u16>().is_err() {
        return Err(format!("target `{target}`: expected host:port, with {{id}} in the host where ids are wanted"));
    }
    Ok(())
}

fn connection_use(options: &mut Options<'_>, exchange: &HttpExchange) -> Result<ConnectionUse, String> {
    let kept = if options.flag("keep-alive")? { ConnectionUse::KeepAlive } else { ConnectionUse::Once };
    let Some(value) = options.take("pipeline") else { return Ok(kept) };
    let most = value.parse().ok().filter(|most| (2..=MOST_PIPELINED).contains(most));
    let most = most.ok_or_else(|| format!("pipeline=`{value}`: expected 2 to {MOST_PIPELINED} requests"))?;
    if !exchange.may_be_repeated() {
        return Err(
            "pipeline: a request that may get lost behind another can only be a GET, HEAD or OPTIONS without a body"
                .to_owned(),
        );
    }
    Ok(ConnectionUse::Pipelined { most })
}

fn throttle(value: &str) -> Result<Throttle, String> {
    let wrong = || format!("slow=`{value}`: expected BYTES/PAUSE such as 1/100ms");
    let (bytes, every) = value.split_once('/').ok_or_else(wrong)?;
    let bytes = bytes.parse().ok().filter(|bytes| *bytes > 0).ok_or_else(wrong)?;
    Ok(Throttle { bytes, every: quantity::duration(every)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_reads_back_as_it_prints() {
        for text in [
            "connect",
            "echo:rounds=3,bytes=1k,early",
            "upload:bytes=2m,slow=10/5ms",
            "download:bytes=5,target=x.example:99",
            "download:bytes=5,send=7",
            "download:bytes=5,send=7,wait=3s",
            "hold:for=3s,every=1s",
            "http:bytes=10,keep-alive",
            "http:method=HEAD,bytes=10,version=1.0",
            "http:path=/echo,method=POST,send=10,chunked,trailers,expect",
            "http:bytes=10,pipeline=4",
            "http:bytes=10,login=negotiate/ann,keep-alive",
            "http:login=ntlm/ben",
            "http:path=/chunked/9,most=1k",
            "page:path=/healthz,keep-alive",
            "abuse:by=half-head",
            "abuse:by=cut-head",
            "abuse:by=half-body",
            "abuse:by=cut-body",
            "abuse:by=lingering",
            "websocket:rounds=3,bytes=1k",
            "tls:path=/ip,status=204,method=POST,send=7",
        ] {
            let action: Action = text.parse().unwrap();
            assert_eq!(action.to_string().parse(), Ok(action.clone()), "{action}");
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, word) in [
            ("conect", "no action"),
            ("echo:round=3", "`round`"),
            ("echo:rounds=x", "no number"),
            ("echo:early=1", "no value"),
            ("echo:bytes=0", "1 to 64k"),
            ("echo:bytes=1,bytes=2", "twice"),
            ("connect:target=example", "host:port"),
            ("connect:target=a b:80", "host:port"),
            ("http:path=x", "behind a /"),
            ("http:method=CONNECT", "CONNECT"),
            ("http:method=HEAD,send=3", "HEAD"),
            ("http:version=2", "1.0 or 1.1"),
            ("http:version=1.0,send=3,chunked", "HTTP/1.0"),
            ("http:bytes=9,most=3", "most: "),
            ("http:expect", "send=N"),
            ("http:pipeline=1", "2 to 64"),
            ("http:pipeline=2,method=POST,send=3", "without a body"),
            ("tls:pipeline=2", "`pipeline`"),
            ("http:login=basic/ann", "negotiate/NAME"),
            ("http:login=ntlm/", "negotiate/NAME"),
            ("abuse:by=x", "half-head"),
            ("upload:slow=0/1s", "BYTES/PAUSE"),
        ] {
            let error = text.parse::<Action>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn the_id_stands_in_the_target() {
        let action: Action = "download:bytes=9".parse().unwrap();
        assert_eq!(action.target_for("r1"), "r1.n9.source.mock:80");
    }
}
