//! Answers the upstream's own pages, which are asked for in origin-form: `/status`, `/journal`, `/reset`, `/tls.pem`.

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use crate::http::body::{Body, bytes, text};
use crate::journal::{Counts, Journal};
use crate::tls;

#[derive(Serialize)]
struct Status<'a> {
    name: &'a str,
    #[serde(flatten)]
    counts: Counts,
}

/// Answers one request for a page.
pub(crate) fn answer(name: &str, journal: &Journal, request: &Request<Incoming>) -> Response<Body> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/status") => status(name, journal),
        (&Method::GET, "/journal") => bytes(StatusCode::OK, "application/jsonl", journal.json_lines().into()),
        (&Method::POST, "/reset") => {
            journal.reset();
            text(StatusCode::OK, "journal and counts are empty\n")
        }
        (&Method::GET, "/tls.pem") => match tls::authority_pem() {
            Ok(pem) => bytes(StatusCode::OK, "application/x-pem-file", pem.into()),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("no certificate: {error}\n")),
        },
        (_, "/status" | "/journal" | "/reset" | "/tls.pem") => {
            text(StatusCode::METHOD_NOT_ALLOWED, "GET /status, GET /journal, POST /reset, GET /tls.pem\n")
        }
        _ => text(
            StatusCode::BAD_REQUEST,
            "this is a proxy: CONNECT host:port or GET http://host/; of itself it tells GET /status and GET /journal\n",
        ),
    }
}

fn status(name: &str, journal: &Journal) -> Response<Body> {
    let status = Status { name, counts: journal.counts() };
    let mut json = serde_json::to_string_pretty(&status).expect("plain strings and numbers always serialise");
    json.push('\n');
    bytes(StatusCode::OK, "application/json", json.into())
}
