//! What one request does. Written as `NAME:OPTION=VALUE,OPTION`, on the command line and in scenarios alike.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::exchange::Exchange;
use super::options::Options;
use crate::quantity;

/// What one request does, and with which target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What is done.
    pub what: What,
    /// `host:port`. `{id}` in it stands for the request's id, which the ledger looks for.
    pub target: String,
    /// Sends its first bytes, and reads, this slowly.
    pub slow: Option<Slow>,
}

/// A client that moves `bytes` at a time with a pause between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// At most so many bytes at once, at least 1.
    pub bytes: usize,
    /// The pause behind each.
    pub every: Duration,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Opens a tunnel and closes it.
    Connect,
    /// Opens a tunnel and gets back what it sends, one block after the other.
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
        /// Sends so many in between: the target is the side that ends first.
        send: u64,
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
        exchange: Exchange,
        /// Keeps the connection for further requests.
        keep_alive: bool,
    },
    /// HTTP behind TLS with the target, through a tunnel.
    Tls {
        /// What is asked for.
        exchange: Exchange,
    },
}

impl Action {
    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match &self.what {
            What::Connect => "connect",
            What::Echo { .. } => "echo",
            What::Upload { .. } => "upload",
            What::Download { .. } => "download",
            What::Hold { .. } => "hold",
            What::Http { .. } => "http",
            What::Tls { .. } => "tls",
        }
    }

    /// Whether it asks for a tunnel.
    pub fn is_tunnel(&self) -> bool {
        !matches!(self.what, What::Http { .. })
    }

    /// The method that the proxy sees.
    pub fn method(&self) -> &str {
        match &self.what {
            What::Http { exchange, .. } => &exchange.method,
            _ => "CONNECT",
        }
    }

    /// The target for the request `id`.
    pub fn target_for(&self, id: &str) -> String {
        self.target.replace("{id}", id)
    }
}

/// One line that reads back as the same action.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:target={}", self.name(), self.target)?;
        match &self.what {
            What::Connect => {}
            What::Echo { rounds, bytes, early } => {
                write!(f, ",rounds={rounds},bytes={bytes}")?;
                if *early {
                    write!(f, ",early")?;
                }
            }
            What::Upload { bytes } => write!(f, ",bytes={bytes}")?,
            What::Download { bytes, send } => {
                write!(f, ",bytes={bytes}")?;
                if *send > 0 {
                    write!(f, ",send={send}")?;
                }
            }
            What::Hold { span, every, bytes } => {
                let (span, every) = (humantime::format_duration(*span), humantime::format_duration(*every));
                write!(f, ",for={span},every={every},bytes={bytes}")?;
            }
            What::Http { exchange, keep_alive } => {
                write!(f, "{exchange}")?;
                if *keep_alive {
                    write!(f, ",keep-alive")?;
                }
            }
            What::Tls { exchange } => write!(f, "{exchange}")?,
        }
        if let Some(Slow { bytes, every }) = self.slow {
            write!(f, ",slow={bytes}/{}", humantime::format_duration(every))?;
        }
        Ok(())
    }
}

const NAMES: &str = "connect, echo, upload, download, hold, http, tls";

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let mut options = Options::read(name, options)?;
        let target = options.take("target");
        let slow = options.take("slow").map(|value| slow(&value)).transpose()?;
        let what = match name {
            "connect" => What::Connect,
            "echo" => What::Echo {
                rounds: options.number("rounds", 1)?,
                bytes: options.block(64)?,
                early: options.flag("early")?,
            },
            "upload" => What::Upload { bytes: options.bytes("bytes", 65_536)? },
            "download" => What::Download { bytes: options.bytes("bytes", 65_536)?, send: options.bytes("send", 0)? },
            "hold" => What::Hold {
                span: options.duration("for", Duration::from_secs(60))?,
                every: options.duration("every", Duration::from_secs(5))?.max(Duration::from_millis(1)),
                bytes: options.block(64)?,
            },
            "http" => What::Http { exchange: Exchange::read(&mut options)?, keep_alive: options.flag("keep-alive")? },
            "tls" => What::Tls { exchange: Exchange::read(&mut options)? },
            _ => return Err(format!("`{name}` is no action; there are {NAMES}")),
        };
        options.none_left()?;
        let target = target.unwrap_or_else(|| default_target(&what));
        check_target(&target)?;
        Ok(Action { what, target, slow })
    }
}

/// An action with its share of a mix in front, as in `3*echo:bytes=1k`; without one it has 1.
///
/// # Errors
/// A sentence that says what was read and what was expected.
pub fn shared(text: &str) -> Result<(u32, Action), String> {
    let (share, action) = match text.split_once('*') {
        Some((share, action)) => {
            (share.parse().map_err(|_| format!("`{text}`: the share before * is no number"))?, action)
        }
        None => (1, text),
    };
    Ok((share, action.parse()?))
}

fn default_target(what: &What) -> String {
    match what {
        What::Connect | What::Echo { .. } | What::Hold { .. } => "{id}.echo.mock:80".to_owned(),
        What::Upload { .. } => "{id}.sink.mock:80".to_owned(),
        What::Download { bytes, .. } => format!("{{id}}.n{bytes}.source.mock:80"),
        What::Http { .. } => "{id}.http.mock:80".to_owned(),
        What::Tls { .. } => "{id}.tls.mock:443".to_owned(),
    }
}

/// Refuses what would break a request line, or needs a port to be guessed.
pub(crate) fn check_target(target: &str) -> Result<(), String> {
    let (host, port) = target.rsplit_once(':').unwrap_or((target, ""));
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:{}".contains(&byte));
    if host.is_empty() || !plain || port.parse::<u16>().is_err() {
        return Err(format!("target `{target}`: expected host:port, with {{id}} in the host where ids are wanted"));
    }
    Ok(())
}

fn slow(value: &str) -> Result<Slow, String> {
    let wrong = || format!("slow=`{value}`: expected BYTES/PAUSE such as 1/100ms");
    let (bytes, every) = value.split_once('/').ok_or_else(wrong)?;
    let bytes = bytes.parse().ok().filter(|bytes| *bytes > 0).ok_or_else(wrong)?;
    Ok(Slow { bytes, every: quantity::duration(every)? })
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
            "hold:for=3s,every=1s",
            "http:bytes=10,keep-alive",
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
            ("http:method=HEAD", "HEAD"),
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
