//! Lists inputs about where the client wants to go.

use super::Want::Refused;
use super::{Row, SMUGGLED, get, row};

pub(super) fn targets() -> Vec<Row> {
    [
        ("user in the target", "http://user@http.mock/"),
        ("user and password in the target", "http://user:pass@http.mock/"),
        ("empty user in the target", "http://@http.mock/"),
        ("at sign behind a backslash", "http://http.mock\\@evil.mock/"),
        ("backslash in the host", "http://http.mock\\/"),
        ("fragment", "http://http.mock/#x"),
        ("target with port 0", "http://http.mock:0/"),
        ("target with port 65536", "http://http.mock:65536/"),
        ("target with a signed port", "http://http.mock:+80/"),
        ("target with a negative port", "http://http.mock:-80/"),
        ("target with zeros before its port", "http://http.mock:080/"),
        ("target with an empty port", "http://http.mock:/"),
        ("target with two ports", "http://http.mock:80:80/"),
        ("target without a host", "http:///"),
        ("target with a port but no host", "http://:80/"),
        ("scheme alone", "http://"),
        ("scheme without slashes", "http:http.mock/"),
        ("https in absolute-form", "https://http.mock/"),
        ("ftp", "ftp://http.mock/"),
        ("file", "file:///etc/passwd"),
        ("javascript", "javascript:alert(1)"),
        ("authority-form with GET", "http.mock:80"),
        ("asterisk with GET", "*"),
        ("IPv4 as hex and short", "http://0x7f.1/"),
        ("IPv4 short", "http://127.1/"),
        ("IPv4 as one number", "http://2130706433/"),
        ("IPv4 as octal", "http://0177.0.0.1/"),
        ("IPv4 out of range", "http://256.0.0.1/"),
        ("IPv4 with a dot behind", "http://127.0.0.1./"),
        ("IPv4 with five numbers", "http://1.2.3.4.5/"),
        ("IPv6 without brackets", "http://::1/"),
        ("IPv6 without its end", "http://[::1/"),
        ("IPv6 with something behind", "http://[::1]x:80/"),
        ("IPv6 with a zone", "http://[fe80::1%eth0]/"),
        ("IPv6 with an encoded zone", "http://[fe80::1%25eth0]/"),
        ("brackets without IPv6", "http://[http.mock]/"),
        ("CRLF by percent-encoding in the host", "http://http.mock%0d%0aX:%20y/"),
        ("NUL by percent-encoding in the host", "http://http.mock%00.evil.mock/"),
        ("letter by percent-encoding in the host", "http://%68ttp.mock/"),
        ("empty label", "http://http..mock/"),
        ("dot for a host", "http://./"),
        ("dot before the host", "http://.http.mock/"),
        ("label too long", &format!("http://{}.mock/", "a".repeat(64))),
        ("name too long", &format!("http://{}mock/", "a.".repeat(126))),
        ("wildcard host", "http://*.mock/"),
        ("comma in the host", "http://http.mock,evil.mock/"),
        ("semicolon in the host", "http://http.mock;evil.mock/"),
    ]
    .map(|(name, target)| {
        row(name, format!("GET {target} HTTP/1.1\r\nHost: http.mock\r\n\r\n{SMUGGLED}"), Refused(400))
    })
    .into()
}

/// A CONNECT, and a request where an upgraded client would talk to the target (RFC 9931).
pub(super) fn connect(target: &str, lines: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\n{lines}\r\n{SMUGGLED}")
}

pub(super) fn connects() -> Vec<Row> {
    let bad_targets = [
        ("CONNECT without a port", "http.mock"),
        ("CONNECT with an empty port", "http.mock:"),
        ("CONNECT without a host", ":80"),
        ("CONNECT to port 0", "http.mock:0"),
        ("CONNECT to port 65536", "http.mock:65536"),
        ("CONNECT to a service name", "http.mock:https"),
        ("CONNECT with a path", "http.mock:80/"),
        ("CONNECT with a query", "http.mock:80?x"),
        ("CONNECT with a fragment", "http.mock:80#x"),
        ("CONNECT with a scheme", "http://http.mock:80"),
        ("CONNECT with a user", "user@http.mock:80"),
        ("CONNECT to an asterisk", "*"),
        ("CONNECT to a path", "/stats"),
        ("CONNECT to two targets", "http.mock:80,evil.mock:80"),
        ("CONNECT to IPv4 short", "127.1:80"),
        ("CONNECT to IPv4 as one number", "2130706433:80"),
        ("CONNECT to IPv6 without a port", "[::1]"),
        ("CONNECT to IPv6 without brackets", "::1:80"),
        ("CONNECT to IPv6 with a zone", "[fe80::1%25eth0]:80"),
        ("CONNECT with CRLF by percent-encoding", "http.mock%0d%0a:80"),
    ]
    .map(|(name, target)| row(name, connect(target, "Host: http.mock\r\n"), Refused(400)));
    let bad_fields = [
        ("CONNECT with a length", "Host: http.mock:80\r\nContent-Length: 5\r\n", 400),
        ("CONNECT with a coding", "Host: http.mock:80\r\nTransfer-Encoding: chunked\r\n", 400),
        ("CONNECT with both", "Host: http.mock:80\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n", 400),
        ("CONNECT with an unknown coding", "Host: http.mock:80\r\nTransfer-Encoding: gzip, chunked\r\n", 501),
        ("CONNECT without Host", "", 400),
        ("CONNECT with two Hosts", "Host: http.mock:80\r\nHost: http.mock:80\r\n", 400),
        ("CONNECT with a bad Host", "Host: user@http.mock\r\n", 400),
    ]
    .map(|(name, lines, status)| row(name, connect("http.mock:80", lines), Refused(status)));
    let bad_lines = [
        (
            "connect in small letters",
            format!("connect http.mock:80 HTTP/1.1\r\nHost: http.mock\r\n\r\n{SMUGGLED}"),
            400,
        ),
        ("CONNECT in HTTP/2.0", format!("CONNECT http.mock:80 HTTP/2.0\r\nHost: http.mock\r\n\r\n{SMUGGLED}"), 505),
    ]
    .map(|(name, bytes, status)| row(name, bytes, Refused(status)));
    bad_targets.into_iter().chain(bad_fields).chain(bad_lines).collect()
}

pub(super) fn ourselves(port: u16) -> Vec<Row> {
    let hosts = [
        ["CONNECT to our address", "our address in absolute-form", "127.0.0.1"],
        ["CONNECT to localhost", "localhost in absolute-form", "localhost"],
        ["CONNECT to LOCALHOST", "LOCALHOST in absolute-form", "LOCALHOST"],
        ["CONNECT to localhost with a dot", "localhost with a dot in absolute-form", "localhost."],
        ["CONNECT below localhost", "below localhost in absolute-form", "proxy.localhost"],
        ["CONNECT to our address mapped to IPv6", "our address mapped to IPv6 in absolute-form", "[::ffff:127.0.0.1]"],
        ["CONNECT to the same in hex", "the same in hex in absolute-form", "[::ffff:7f00:1]"],
        ["CONNECT to 0.0.0.0", "0.0.0.0 in absolute-form", "0.0.0.0"],
        ["CONNECT to ::", ":: in absolute-form", "[::]"],
    ];
    let both = |[tunnel, plain, host]: [&'static str; 3]| {
        let at = format!("{host}:{port}");
        let get = format!("GET http://{at}/stats HTTP/1.1\r\nHost: {at}\r\n\r\n{SMUGGLED}");
        let connect = connect(&at, &format!("Host: {at}\r\n"));
        [row(tunnel, connect, Refused(403)), row(plain, get, Refused(403))]
    };
    hosts.into_iter().flat_map(both).collect()
}

pub(super) fn loops() -> Vec<Row> {
    [
        ("our own Via", "Via: 1.1 ring\r\n"),
        ("our own Via in capitals", "Via: 1.1 RING\r\n"),
        ("our own Via among others", "Via: 1.0 fred, HTTP/1.1 ring (netdrift), 1.1 p.example.net\r\n"),
        ("our own Via in a second line", "Via: 1.0 fred\r\nvia: 1.1\tring\r\n"),
    ]
    .map(|(name, via)| row(name, get(via), Refused(502)))
    .into_iter()
    .chain([row(
        "our own Via on CONNECT",
        connect("http.mock:80", "Host: http.mock\r\nVia: 1.1 ring\r\n"),
        Refused(502),
    )])
    .collect()
}
