//! Lists every way in which a request can end without a target's answer, and turns each into a response.

use std::fmt;
use std::time::SystemTime;

use bytes::BytesMut;

use crate::authentication::Refusal;
use crate::core::attribution::{Blame, Failure};
use crate::http::body::BodyError;
use crate::http::date::http_date;
use crate::http::head::{Fields, HeadError, ResponseHead, Version};
use crate::http::target::TargetError;
use crate::upstream::attempts::AttemptsRecord;

/// Why the proxy answers a request itself.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The head can't be trusted.
    Head(HeadError),
    /// The request target can't be served.
    Target(TargetError),
    /// The body can't be passed on.
    Body(BodyError),
    /// The client ended its body early.
    BodyCut,
    /// The head took too long.
    HeaderTimeout,
    /// The body stood still.
    BodyTimeout,
    /// The client is not let in; with the challenge for a 407.
    Auth(Refusal, String),
    /// Who asks for the statistics has not shown to be a user; the challenge for a 401.
    StatsAuth(Refusal, String),
    /// The statistics are for clients on this machine, and there are no users.
    StatsForbidden,
    /// The request has passed here before.
    Loop,
    /// The target is this proxy.
    Ourselves,
    /// The listener is for our own pages alone.
    PagesOnly,
    /// There are more clients than the proxy may serve.
    Overloaded,
    /// No attempt opened the target.
    NoUpstreamOpened(AttemptsRecord),
}

/// What an error means for the response, the log and the metric labels.
pub(crate) struct ErrorReply {
    /// The response's status.
    pub(crate) status: u16,
    /// The word for logs and labels.
    pub(crate) token: &'static str,
    /// Whose fault.
    pub(crate) blame: Blame,
    /// For what one is defined for.
    pub(crate) proxy_status: Option<ProxyStatus>,
    /// A sentence for the client.
    pub(crate) text: String,
    /// Fields of its own.
    pub(crate) extra: Option<(&'static str, String)>,
}

/// Our member of Proxy-Status (RFC 9209).
#[derive(Debug, Default)]
pub(crate) struct ProxyStatus {
    /// A type of its section 2.3. None says that an upstream has answered, and that this is about its answer:
    /// `http_request_denied` is for what was not passed on.
    error: Option<&'static str>,
    /// The status that an upstream has sent.
    received: Option<u16>,
    /// How many upstreams were asked, where any was.
    attempts: Option<u32>,
}

impl ProxyStatus {
    fn error(error: &'static str) -> Self {
        ProxyStatus { error: Some(error), ..ProxyStatus::default() }
    }

    /// Of a gateway's status that is passed on behind so many attempts.
    pub(crate) fn relayed(status: u16, attempts: u32) -> Self {
        ProxyStatus { error: None, received: Some(status), attempts: Some(attempts) }
    }
}

impl fmt::Display for ProxyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("netdrift")?;
        if let Some(error) = self.error {
            write!(f, "; error={error}")?;
        }
        if let Some(status) = self.received {
            write!(f, "; received-status={status}")?;
        }
        if let Some(attempts) = self.attempts {
            write!(f, "; details=\"{attempts} attempt{}\"", if attempts == 1 { "" } else { "s" })?;
        }
        Ok(())
    }
}

impl RequestError {
    /// Maps the error to its response, log word and label. No other place does.
    pub(crate) fn reply(&self) -> ErrorReply {
        let client = |status: u16, token, text: String| ErrorReply {
            status,
            token,
            blame: Blame::Client,
            proxy_status: None,
            text,
            extra: None,
        };
        match self {
            RequestError::Head(error) => client(error.status(), error.token(), error.to_string()),
            RequestError::Target(error) => client(error.status(), error.token(), error.to_string()),
            RequestError::Body(error) => client(error.status(), error.token(), error.to_string()),
            RequestError::BodyCut => client(400, "body_cut", "the request body ended early".into()),
            RequestError::HeaderTimeout => client(408, "header_timeout", "the request head took too long".into()),
            RequestError::BodyTimeout => {
                client(408, "body_timeout", "the request body stood still for too long".into())
            }
            RequestError::Auth(Refusal::Busy, _) | RequestError::StatsAuth(Refusal::Busy, _) => ErrorReply {
                blame: Blame::Netdrift,
                extra: Some(("Retry-After", "1".into())),
                proxy_status: Some(ProxyStatus::error("http_request_denied")),
                ..client(503, Refusal::Busy.token(), "too many passwords to check at once; try again".into())
            },
            RequestError::Auth(refusal, challenge) => ErrorReply {
                extra: Some(("Proxy-Authenticate", challenge.clone())),
                ..client(407, refusal.token(), "this proxy needs a valid user name and password".into())
            },
            RequestError::StatsAuth(refusal, challenge) => ErrorReply {
                extra: Some(("WWW-Authenticate", challenge.clone())),
                ..client(401, refusal.token(), "the statistics need a user's name and password".into())
            },
            RequestError::StatsForbidden => client(
                403,
                "stats_forbidden",
                "the statistics are for loopback clients that ask for a loopback host, or for users".into(),
            ),
            RequestError::Loop => ErrorReply {
                proxy_status: Some(ProxyStatus::error("proxy_loop_detected")),
                ..client(502, "loop", "this request has passed through this proxy before".into())
            },
            RequestError::Ourselves => ErrorReply {
                proxy_status: Some(ProxyStatus::error("http_request_denied")),
                ..client(403, "ourselves", "the proxy can't be reached through itself".into())
            },
            RequestError::PagesOnly => client(
                403,
                "pages_only",
                "this address has the proxy's own pages alone; clients connect elsewhere".into(),
            ),
            RequestError::Overloaded => ErrorReply {
                blame: Blame::Netdrift,
                extra: Some(("Retry-After", "1".into())),
                proxy_status: Some(ProxyStatus::error("http_request_denied")),
                ..client(503, "overloaded", "the proxy serves as many connections as it may; try again".into())
            },
            RequestError::NoUpstreamOpened(record) => no_upstream_opened(record),
        }
    }
}

/// Statuses that no answer of ours may have: a 401 needs the target's challenge, a 426 the protocols that it wants, and a proxy
/// must not say 421 at all (RFC 9110 sections 15.5.2, 15.5.20, 15.5.22).
const NOT_OURS: [u16; 3] = [401, 421, 426];

/// What the last failed attempt means to the client (status by ARCHITECTURE.md, "What the client sees").
fn no_upstream_opened(record: &AttemptsRecord) -> ErrorReply {
    let attempts = Some(record.attempts);
    let blame = record.blame().unwrap_or(Blame::Netdrift);
    let Some(last) = record.failures.last() else {
        return ErrorReply {
            status: 503,
            token: "no_upstream",
            blame,
            proxy_status: Some(ProxyStatus { attempts, ..ProxyStatus::error("destination_unavailable") }),
            text: "no upstream can be used".into(),
            extra: Some(("Retry-After", "5".into())),
        };
    };
    let last = last.failed.failure;
    let received = match last {
        Failure::Status(status) => Some(status),
        _ => None,
    };
    let (status, error, text) = match last {
        Failure::ClientGone => (502, Some("connection_terminated"), "the client went away".to_owned()),
        Failure::OwnResources => (503, Some("proxy_internal_error"), "the proxy has run out of a resource".to_owned()),
        Failure::NameTimeout => (504, Some("dns_timeout"), "the upstream's name was not resolved in time".to_owned()),
        Failure::NameUnresolved => (502, Some("dns_error"), "the upstream's name can't be resolved".to_owned()),
        Failure::CutShort => (504, Some("http_response_timeout"), "the request's time was over".to_owned()),
        Failure::ConnectRefused => (502, Some("connection_refused"), "the upstream refused the connection".to_owned()),
        Failure::ConnectTimeout => {
            (504, Some("connection_timeout"), "the upstream could not be reached in time".to_owned())
        }
        Failure::ConnectFailed => (502, Some("destination_ip_unroutable"), "the upstream can't be reached".to_owned()),
        Failure::TlsFailed => (502, Some("tls_protocol_error"), "no TLS session with the upstream".to_owned()),
        Failure::MalformedHead => (502, Some("http_protocol_error"), "the upstream's reply was malformed".to_owned()),
        Failure::ReplyTimeout => (504, Some("http_response_timeout"), "the upstream did not answer in time".to_owned()),
        Failure::EmptyTunnel | Failure::ClosedBeforeHead | Failure::ResetBeforeHead => {
            (502, Some("connection_terminated"), "the upstream closed the connection".to_owned())
        }
        Failure::Status(407) => {
            (502, Some("proxy_configuration_error"), "the upstream refused our credentials".to_owned())
        }
        // If every upstream says the same of a target, the client gets that status: it is the target's answer.
        Failure::Status(status @ 400..=499) if blame == Blame::Target && !NOT_OURS.contains(&status) => {
            (status, None, format!("the target was refused with status {status}"))
        }
        Failure::Status(status @ (502..=504)) => {
            (status, Some("destination_unavailable"), format!("the upstream answered with status {status}"))
        }
        Failure::Status(status) => (502, None, format!("the upstream answered with status {status}")),
    };
    let status = if record.deadline_passed { 504 } else { status };
    let token = last.as_str();
    let proxy_status = ProxyStatus { error, received, attempts };
    ErrorReply { status, token, blame, proxy_status: Some(proxy_status), text, extra: None }
}

impl ErrorReply {
    /// The response: a short text, and what a client needs to act on it. `close` says that the connection ends behind it.
    pub(crate) fn response(&self, close: bool, with_body: bool, wall: SystemTime) -> BytesMut {
        let mut fields = Fields::with_capacity(256, 6);
        if let Some(proxy_status) = &self.proxy_status {
            fields.push("Proxy-Status", proxy_status.to_string());
        }
        if let Some((name, value)) = &self.extra {
            fields.push(name, value);
        }
        text_response(
            self.status,
            fields,
            "text/plain; charset=utf-8",
            &format!("netdrift: {}\n", self.text),
            Answer { close, with_body, wall },
        )
    }
}

/// How one of our own responses is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The connection closes after it.
    pub(crate) close: bool,
    /// Whether the body is written; false for HEAD.
    pub(crate) with_body: bool,
    /// The time in the Date field.
    pub(crate) wall: SystemTime,
}

/// One of our own responses.
pub(crate) fn text_response(status: u16, mut fields: Fields, kind: &str, body: &str, answer: Answer) -> BytesMut {
    fields.push("Content-Type", kind);
    fields.push("Content-Length", body.len().to_string());
    fields.push("Cache-Control", "no-store");
    fields.push("Date", http_date(answer.wall));
    if answer.close {
        fields.push("Connection", "close");
    }
    let reason = reason(status).into();
    let mut out = BytesMut::with_capacity(512 + body.len());
    let head = ResponseHead { version: Version::Http11, status, reason, fields, disputed_framing: false };
    head.write_to(&mut out);
    if answer.with_body {
        out.extend_from_slice(body.as_bytes());
    }
    out
}

/// The registered reason phrase. Clients show it, but no program reads it.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        414 => "URI Too Long",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_registered_phrase() {
        for (status, phrase) in [
            (200, "OK"),
            (400, "Bad Request"),
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (404, "Not Found"),
            (405, "Method Not Allowed"),
            (407, "Proxy Authentication Required"),
            (408, "Request Timeout"),
            (414, "URI Too Long"),
            (429, "Too Many Requests"),
            (431, "Request Header Fields Too Large"),
            (501, "Not Implemented"),
            (502, "Bad Gateway"),
            (503, "Service Unavailable"),
            (504, "Gateway Timeout"),
            (505, "HTTP Version Not Supported"),
            // A target's own, which is passed on; nobody reads its phrase.
            (451, ""),
        ] {
            assert_eq!(reason(status), phrase, "{status}");
        }
    }

    /// Status, word, blame, Proxy-Status, and the field of its own.
    fn told(error: &RequestError) -> (u16, &'static str, Blame, Option<String>, Option<&'static str>) {
        let ErrorReply { status, token, blame, proxy_status, extra, .. } = error.reply();
        (status, token, blame, proxy_status.map(|ours| ours.to_string()), extra.map(|(name, _)| name))
    }

    #[test]
    fn a_refusal_is_the_clients_fault_unless_the_proxy_has_no_room() {
        let ours = |error: &str| Some(format!("netdrift; error={error}"));
        let denied = ours("http_request_denied");
        let (retry, busy) = (Some("Retry-After"), Refusal::Busy.token());
        let challenge = || "Basic".to_owned();
        for (error, expected) in [
            (RequestError::Auth(Refusal::Busy, challenge()), (503, busy, Blame::Netdrift, denied.clone(), retry)),
            (RequestError::StatsAuth(Refusal::Busy, challenge()), (503, busy, Blame::Netdrift, denied.clone(), retry)),
            (RequestError::Overloaded, (503, "overloaded", Blame::Netdrift, denied.clone(), retry)),
            (RequestError::Ourselves, (403, "ourselves", Blame::Client, denied, None)),
            (RequestError::Loop, (502, "loop", Blame::Client, ours("proxy_loop_detected"), None)),
        ] {
            assert_eq!(told(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn where_no_upstream_could_be_asked_the_answer_says_so() {
        let record =
            AttemptsRecord { attempts: 0, attempt: None, failures: Vec::new(), deadline_passed: false, opened: None };
        let ours = "netdrift; error=destination_unavailable; details=\"0 attempts\"".to_owned();
        let expected = (503, "no_upstream", Blame::Netdrift, Some(ours), Some("Retry-After"));
        assert_eq!(told(&RequestError::NoUpstreamOpened(record)), expected);
    }
}
