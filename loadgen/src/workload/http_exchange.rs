//! Describes one HTTP request, and what its response must be.

use std::fmt;

use super::login::Login;
use super::options::Options;
use crate::quantity;

/// One HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpExchange {
    /// The method: a token.
    pub method: String,
    /// The path, beginning with `/`.
    pub path: String,
    /// The version in the request line.
    pub version: HttpVersion,
    /// Bytes of the request's body; 0 for none.
    pub send: u64,
    /// Sends the body in chunks, without saying its length beforehand.
    pub chunked: bool,
    /// Asks for trailers (`TE: trailers`); a body in chunks ends with one too. The response must end with the trailer
    /// `x-checksum`, which holds the CRC-32 of its body in hexadecimal.
    pub trailers: bool,
    /// Sends the body behind a `100 (Continue)` only.
    pub expect: bool,
    /// Logs in to the target, and the login stays with the connection.
    pub login: Option<Login>,
    /// Checks that the response's body is that many bytes of the pattern; for HEAD, that its Content-Length says so.
    pub pattern: Option<u64>,
    /// A good response with a longer body than that is wrong, and is not read on, as by `curl --max-filesize`.
    pub most: Option<u64>,
    /// The status that is right; none: any from 200 to 399.
    pub status: Option<u16>,
}

/// The version of HTTP that a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0: no chunks, no interim responses, and connections end unless both sides keep them.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl fmt::Display for HttpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HttpVersion::Http10 => "1.0",
            HttpVersion::Http11 => "1.1",
        })
    }
}

impl HttpExchange {
    /// Reads it off the options of an action.
    pub(super) fn read(options: &mut Options<'_>) -> Result<HttpExchange, String> {
        let bytes = options.take("bytes").map(|value| quantity::bytes(&value)).transpose()?;
        let default_path = bytes.map_or_else(|| "/".to_owned(), |bytes| format!("/bytes/{bytes}"));
        let path = options.take("path").unwrap_or(default_path);
        let method = options.take("method").unwrap_or_else(|| "GET".to_owned());
        let pattern = options.take("pattern").map(|value| quantity::bytes(&value)).transpose()?.or(bytes);
        let most = options.take("most").map(|value| quantity::bytes(&value)).transpose()?;
        let status = options.take("status");
        let status = status.map(|value| value.parse().map_err(|_| format!("status=`{value}` is no status")));
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("path=`{path}`: expected visible characters behind a /"));
        }
        if method.is_empty() || method == "CONNECT" || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("method=`{method}`: expected capital letters, and not CONNECT"));
        }
        let version = match options.take("version").as_deref() {
            None | Some("1.1") => HttpVersion::Http11,
            Some("1.0") => HttpVersion::Http10,
            Some(other) => return Err(format!("version=`{other}`: expected 1.0 or 1.1")),
        };
        let exchange = HttpExchange {
            method,
            path,
            version,
            send: options.bytes("send", 0)?,
            chunked: options.flag("chunked")?,
            trailers: options.flag("trailers")?,
            expect: options.flag("expect")?,
            login: options.take("login").map(|value| value.parse()).transpose()?,
            pattern,
            most,
            status: status.transpose()?,
        };
        exchange.consistent()?;
        Ok(exchange)
    }

    fn consistent(&self) -> Result<(), String> {
        let special = self.chunked || self.trailers || self.expect;
        if special && self.version == HttpVersion::Http10 {
            return Err("HTTP/1.0 has no chunked, trailers or expect".to_owned());
        }
        if self.method == "HEAD" && (self.has_body() || self.trailers) {
            return Err("method=HEAD: it goes without a body and without trailers".to_owned());
        }
        if self.most.is_some() && (self.pattern.is_some() || (self.path == "/echo" && self.has_body())) {
            return Err("most: the length of this response's body is known".to_owned());
        }
        if self.expect && self.send == 0 {
            return Err("expect: there has to be a body that waits (send=N)".to_owned());
        }
        Ok(())
    }

    /// Whether a body follows the request's head.
    pub fn has_body(&self) -> bool {
        self.send > 0 || self.chunked
    }

    /// Whether it may be sent again where nobody knows what became of it.
    pub fn may_be_repeated(&self) -> bool {
        !self.has_body() && matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

impl fmt::Display for HttpExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ",method={},path={}", self.method, self.path)?;
        if self.version != HttpVersion::Http11 {
            write!(f, ",version={}", self.version)?;
        }
        if self.send > 0 {
            write!(f, ",send={}", self.send)?;
        }
        for (set, name) in [(self.chunked, "chunked"), (self.trailers, "trailers"), (self.expect, "expect")] {
            if set {
                write!(f, ",{name}")?;
            }
        }
        if let Some(login) = &self.login {
            write!(f, ",login={login}")?;
        }
        if let Some(bytes) = self.pattern {
            write!(f, ",pattern={bytes}")?;
        }
        if let Some(bytes) = self.most {
            write!(f, ",most={bytes}")?;
        }
        if let Some(status) = self.status {
            write!(f, ",status={status}")?;
        }
        Ok(())
    }
}
