//! Describes one HTTP request, and what its response must be.

use std::fmt;

use super::options::Options;
use crate::quantity;

/// One HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpExchange {
    /// The method: a token.
    pub method: String,
    /// The path, beginning with `/`.
    pub path: String,
    /// Bytes of the request's body; 0 for none.
    pub send: u64,
    /// Checks that the response's body is that many bytes of the pattern.
    pub pattern: Option<u64>,
    /// The status that is right; none: any from 200 to 399.
    pub status: Option<u16>,
}

impl HttpExchange {
    /// Reads it off the options of an action.
    pub(super) fn read(options: &mut Options<'_>) -> Result<HttpExchange, String> {
        let bytes = options.take("bytes").map(|value| quantity::bytes(&value)).transpose()?;
        let default_path = bytes.map_or_else(|| "/".to_owned(), |bytes| format!("/bytes/{bytes}"));
        let path = options.take("path").unwrap_or(default_path);
        let method = options.take("method").unwrap_or_else(|| "GET".to_owned());
        let pattern = options.take("pattern").map(|value| quantity::bytes(&value)).transpose()?.or(bytes);
        let status = options.take("status");
        let status = status.map(|value| value.parse().map_err(|_| format!("status=`{value}` is no status")));
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("path=`{path}`: expected visible characters behind a /"));
        }
        if method.is_empty() || method == "HEAD" || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("method=`{method}`: expected capital letters, and not HEAD"));
        }
        Ok(HttpExchange { method, path, send: options.bytes("send", 0)?, pattern, status: status.transpose()? })
    }
}

impl fmt::Display for HttpExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ",method={},path={}", self.method, self.path)?;
        if self.send > 0 {
            write!(f, ",send={}", self.send)?;
        }
        if let Some(bytes) = self.pattern {
            write!(f, ",pattern={bytes}")?;
        }
        if let Some(status) = self.status {
            write!(f, ",status={status}")?;
        }
        Ok(())
    }
}
