//! The settings of hyper's server.

use hyper::server::conn::http1;

/// hyper as every double uses it: no clock of its own, half-closed clients are answered.
pub(crate) fn http_server() -> http1::Builder {
    let mut server = http1::Builder::new();
    server.half_close(true).auto_date_header(false).header_read_timeout(None);
    server
}
