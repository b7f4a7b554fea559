//! Controls a running upstream over HTTP, on a port of its own that no fault strikes.

use std::convert::Infallible;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use mock_upstreams::tls::authority_pem;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::catalogue;
use crate::plan::{Problem, parse, parse_entry};
use crate::upstream::FaultyUpstream;

/// The largest plan that is read.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The list of all requests, which is the answer to any other request.
const HELP: &str = "GET /plan, PUT /plan, POST /plan/faults, DELETE /plan/faults/ID, POST /plan/faults/ID/arm,\n\
                    POST /plan/faults/ID/disarm, GET /counters, POST /reset, GET /status, GET /journal, GET /catalogue,\n\
                    GET /tls.pem\n";

/// Serves one connection of the admin port. An unknown request is answered with the list of requests.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, upstream: &FaultyUpstream) {
    let service = service_fn(|request: Request<Incoming>| {
        Box::pin(async { Ok::<_, Infallible>(answer(request, upstream).await) }) as Pin<Box<_>>
    });
    let mut http = http1::Builder::new();
    http.auto_date_header(false).header_read_timeout(None).half_close(true);
    // A failure means that the administrator is gone, so nobody could be told.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, upstream: &FaultyUpstream) -> Answer {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return text(StatusCode::PAYLOAD_TOO_LARGE, format!("body: {error}\n")),
    };
    let body = String::from_utf8_lossy(&body);
    let parts: Vec<&str> = head.uri.path().trim_start_matches('/').split('/').collect();
    match (&head.method, parts.as_slice()) {
        (&Method::GET, ["plan"]) => pretty(&upstream.plan().to_json()),
        (&Method::PUT, ["plan"]) => changed(replace(upstream, &body)),
        (&Method::POST, ["plan", "faults"]) => changed(add(upstream, &body)),
        (&Method::DELETE, ["plan", "faults", id]) => changed(known(upstream.change_plan(|plan| {
            plan.remove(id)?;
            Ok(format!("removed {id}"))
        }))),
        (&Method::POST, ["plan", "faults", id, "arm"]) => changed(arm(upstream, id, true)),
        (&Method::POST, ["plan", "faults", id, "disarm"]) => changed(arm(upstream, id, false)),
        (&Method::GET, ["counters"]) => pretty(&counters(upstream)),
        (&Method::POST, ["reset"]) => changed(reset(upstream)),
        (&Method::GET, ["status"]) => {
            let counts = upstream.journal().counts();
            pretty(&json!({ "name": upstream.name(), "counts": counts }))
        }
        (&Method::GET, ["journal"]) => content("application/jsonl", upstream.journal().json_lines()),
        (&Method::GET, ["catalogue"]) => pretty(&catalogue::json()),
        (&Method::GET, ["tls.pem"]) => match authority_pem() {
            Ok(pem) => content("application/x-pem-file", pem.to_owned()),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("no certificate: {error}\n")),
        },
        _ => text(StatusCode::NOT_FOUND, HELP),
    }
}

/// Why a change was refused: the status, and one line for each problem.
type Refused = (StatusCode, String);

fn problems(problems: Vec<Problem>) -> Refused {
    (StatusCode::BAD_REQUEST, problems.iter().map(|problem| format!("{problem}\n")).collect())
}

fn known(changed: Result<String, String>) -> Result<String, Refused> {
    changed.map_err(|text| (StatusCode::NOT_FOUND, format!("{text}\n")))
}

fn replace(upstream: &FaultyUpstream, body: &str) -> Result<String, Refused> {
    let plan = parse(body).map_err(problems)?;
    let text = format!("replaced by {} faults, seed {}", plan.entries().len(), plan.seed);
    upstream.change_plan(|old| {
        *old = plan;
        Ok(text)
    })
}

fn add(upstream: &FaultyUpstream, body: &str) -> Result<String, Refused> {
    let entry = parse_entry(body).map_err(problems)?;
    let text = format!("added {}", entry.label());
    upstream.change_plan(|plan| match plan.add(entry) {
        Ok(()) => Ok(text),
        Err(taken) => Err((StatusCode::CONFLICT, format!("id: {taken}\n"))),
    })
}

fn arm(upstream: &FaultyUpstream, id: &str, armed: bool) -> Result<String, Refused> {
    known(upstream.change_plan(|plan| {
        plan.arm(id, armed)?;
        Ok(format!("{} {id}", if armed { "armed" } else { "disarmed" }))
    }))
}

fn reset(upstream: &FaultyUpstream) -> Result<String, Refused> {
    upstream.journal().reset();
    upstream.change_plan(|plan| {
        plan.reset_counters();
        Ok("journal and counters reset".to_owned())
    })
}

fn counters(upstream: &FaultyUpstream) -> serde_json::Value {
    let plan = upstream.plan();
    plan.entries().iter().map(|entry| (entry.id.clone(), entry.struck.into())).collect::<serde_json::Map<_, _>>().into()
}

fn changed(change: Result<String, Refused>) -> Answer {
    match change {
        Ok(change) => text(StatusCode::OK, change + "\n"),
        Err((status, problems)) => text(status, problems),
    }
}

fn pretty(json: &serde_json::Value) -> Answer {
    content("application/json", format!("{json:#}\n"))
}

fn content(content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    let mut answer = content("text/plain; charset=utf-8", body.into());
    *answer.status_mut() = status;
    answer
}
