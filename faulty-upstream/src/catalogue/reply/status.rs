//! The upstream answers with a status: the usual ones have a fault each, and one fault takes any.

use crate::draw::Draw;
use crate::effect::reply::{Reply, Then};
use crate::fault::{Action, Family, Fault, Requests};
use crate::setting::{Setting, SettingValues};
use mock_upstreams::ProxyRequest;

type Answer = fn(&SettingValues, &ProxyRequest, &mut Draw) -> Reply;

const fn fixed(name: &'static str, summary: &'static str, answer: Answer) -> Fault {
    Fault { name, family: Family::Reply, summary, settings: &[], action: Action::Reply(Requests::Any, answer) }
}

/// Answers with a status, its reason, and the fields that belong to it.
fn answer(status: u16, reason: &str, fields: &str) -> Reply {
    let body = format!("{status} {reason}\n");
    let length = body.len();
    let head = format!("HTTP/1.1 {status} {reason}\r\nContent-Length: {length}\r\n{fields}Connection: close\r\n\r\n");
    Reply::new(Some(status), head + &body, Then::Fin)
}

const CHALLENGE: &str = "Proxy-Authenticate: Basic realm=\"upstream\"\r\n";

const WHICH: Setting = Setting::number("status", 418, 200..=999, "which one");

pub(in crate::catalogue) const STATUS_400: Fault =
    fixed("status-400", "answered 400 Bad Request", |_, _, _| answer(400, "Bad Request", ""));

pub(in crate::catalogue) const STATUS_401: Fault = fixed("status-401", "answered 401 Unauthorized", |_, _, _| {
    answer(401, "Unauthorized", "WWW-Authenticate: Basic realm=\"target\"\r\n")
});

pub(in crate::catalogue) const STATUS_403: Fault =
    fixed("status-403", "answered 403 Forbidden", |_, _, _| answer(403, "Forbidden", ""));

pub(in crate::catalogue) const STATUS_404: Fault =
    fixed("status-404", "answered 404 Not Found", |_, _, _| answer(404, "Not Found", ""));

pub(in crate::catalogue) const STATUS_408: Fault =
    fixed("status-408", "answered 408 Request Timeout", |_, _, _| answer(408, "Request Timeout", ""));

pub(in crate::catalogue) const STATUS_429: Fault = fixed("status-429", "answered 429 Too Many Requests", |_, _, _| {
    answer(429, "Too Many Requests", "Retry-After: 1\r\n")
});

pub(in crate::catalogue) const STATUS_500: Fault =
    fixed("status-500", "answered 500 Internal Server Error", |_, _, _| answer(500, "Internal Server Error", ""));

pub(in crate::catalogue) const STATUS_502: Fault =
    fixed("status-502", "answered 502 Bad Gateway", |_, _, _| answer(502, "Bad Gateway", ""));

pub(in crate::catalogue) const STATUS_503: Fault =
    fixed("status-503", "answered 503 Service Unavailable", |_, _, _| {
        answer(503, "Service Unavailable", "Retry-After: 1\r\n")
    });

pub(in crate::catalogue) const STATUS_504: Fault =
    fixed("status-504", "answered 504 Gateway Timeout", |_, _, _| answer(504, "Gateway Timeout", ""));

pub(in crate::catalogue) const STATUS_407: Fault = fixed("status-407", "answered 407 with a challenge", |_, _, _| {
    answer(407, "Proxy Authentication Required", CHALLENGE)
});

pub(in crate::catalogue) const STATUS_407_BARE: Fault =
    fixed("status-407-bare", "answered 407 without a challenge", |_, _, _| {
        answer(407, "Proxy Authentication Required", "")
    });

/// This is a good reply: every 2xx opens the tunnel (RFC 9110 section 9.3.6).
pub(in crate::catalogue) const STATUS_204: Fault = Fault {
    action: Action::Reply(Requests::Connect, |_, _, _| {
        Reply::new(Some(204), "HTTP/1.1 204 No Content\r\n\r\n", Then::Tunnel)
    }),
    name: "status-204",
    family: Family::Reply,
    summary: "answered 204 No Content, then a tunnel",
    settings: &[],
};

pub(in crate::catalogue) const REDIRECT: Fault = fixed("redirect", "answered 302 with a Location", |_, _, _| {
    answer(302, "Found", "Location: http://elsewhere.mock/\r\n")
});

pub(in crate::catalogue) const STATUS: Fault = Fault {
    settings: &[WHICH],
    ..fixed("status", "answered with a given status", |with, _, _| {
        let status = u16::try_from(with.number(&WHICH)).unwrap_or(999);
        answer(status, "Given", "")
    })
};
