//! Holds the settings of hyper's server, which all mocks share.

use hyper::server::conn::http1;

/// Makes the HTTP server that all mocks use. It reads no clock, and it still answers clients that have ended their side.
pub(crate) fn http_server() -> http1::Builder {
    let mut server = http1::Builder::new();
    server.half_close(true).auto_date_header(false).header_read_timeout(None);
    server
}
