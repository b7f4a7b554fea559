//! Makes `faulty-upstream/MATRIX.md`, the table for readers.

use std::fmt::Write as _;
use std::path::Path;

use faulty_upstream::CATALOGUE;
use proxy::core::attribution::{Author, Rule};

use super::table::{Asks, Blamed, Failover, Row, Sees, TABLE};

const INTRODUCTION: &str = "\
# What the proxy makes of each fault

Made from `proxy/tests/matrix/table.rs` by the test that plays it against the real proxy: one faulty upstream, which is asked
first, and one good one behind it. After a change, `UPDATE_MATRIX=1 cargo test -p proxy --test matrix document` writes
it anew.

*Fails over* names what went wrong with the attempt; the request then goes on through the good upstream within the same request, and
the client sees nothing of it. *Alone* is the status it gets where there is no good upstream, and behind the slash where a second
upstream fails alike. *Written by* says who could have written what the proxy sees, and so who can be held to it. *Blamed* is who
answers for it: `upstream` at once, by the rule named; `suspect` means the upstream if another one opens the same target (of a tunnel
that brought nothing: delivers from it), the target if the others fail alike, else nobody knows. Only a blamed upstream is ever ejected, and
a suspect only if a probe of the proxy's own fails too.
";

#[test]
fn the_document_says_what_the_table_says() {
    let document = render();
    if std::env::var_os("UPDATE_MATRIX").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../faulty-upstream/MATRIX.md");
        std::fs::write(path, document).unwrap();
        return;
    }
    let written = include_str!("../../../faulty-upstream/MATRIX.md");
    assert!(written == document, "faulty-upstream/MATRIX.md is not what the table says; run this with UPDATE_MATRIX=1");
}

fn render() -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut family = None;
    for row in TABLE {
        let fault = CATALOGUE.iter().find(|fault| fault.name == row.fault);
        let here = fault.map(|fault| fault.family);
        if family != here {
            family = here;
            let name = here.map_or("", |family| family.name());
            write!(text, "\n## {}{}\n\n", name[..1].to_uppercase(), &name[1..]).unwrap();
            text.push_str(
                "| Fault | Asked by | The client sees | Fails over | Alone | Written by | Blamed | May eject |\n",
            );
            text.push_str("|---|---|---|---|---|---|---|---|\n");
        }
        line(&mut text, row);
    }
    text
}

fn line(text: &mut String, row: &Row) {
    let asks: Vec<_> = row.asks.iter().map(|asks| asked(*asks)).collect();
    let sees = match row.waits {
        Some(timer) if row.failover.is_none() => format!("{}, by `timeouts.{timer}`", seen(row.sees)),
        _ => seen(row.sees),
    };
    let (failure, alone) = match row.failover {
        Some(Failover { failure, alone, alike }) if alone == alike => (format!("`{failure}`"), alone.to_string()),
        Some(Failover { failure, alone, alike }) => (format!("`{failure}`"), format!("{alone} / {alike}")),
        None => ("no".to_owned(), String::new()),
    };
    let (fault, asks, blamed) = (row.fault, asks.join(", "), blamed(row.blamed));
    let ejects = match row.author {
        _ if !row.ejects => "no",
        Some(Author::Upstream) => "yes",
        _ => "by a probe",
    };
    let author = author(row.author);
    writeln!(text, "| `{fault}` | {asks} | {sees} | {failure} | {alone} | {author} | {blamed} | {ejects} |").unwrap();
}

fn asked(asks: Asks) -> &'static str {
    match asks {
        Asks::Tunnel => "CONNECT",
        Asks::Get => "GET",
        Asks::GetTwice => "GET twice",
    }
}

fn seen(sees: Sees) -> String {
    match sees {
        Sees::Success => "success, byte for byte".to_owned(),
        Sees::Behind(front) => format!("success behind the upstream's own bytes (`{front}`)"),
        Sees::Altered { more: 0 } => "an open tunnel with altered bytes".to_owned(),
        Sees::Altered { more } => format!("an open tunnel with {more} bytes too many"),
        Sees::Ended { .. } => "an open tunnel, ended early in order".to_owned(),
        Sees::Reset { .. } => "an open tunnel, then a reset".to_owned(),
        Sees::Answer(status, _) => format!("the upstream's own {status}"),
        Sees::Aborted(status) => format!("{status}, then a reset before the body's end"),
        Sees::Endless => "a body without end".to_owned(),
    }
}

fn author(author: Option<Author>) -> &'static str {
    match author {
        None => "",
        Some(Author::Client) => "client",
        Some(Author::Netdrift) => "netdrift",
        Some(Author::Deadline) => "nobody",
        Some(Author::Upstream) => "upstream",
        Some(Author::UpstreamOrTarget) => "upstream or target",
    }
}

fn blamed(blamed: Blamed) -> String {
    match blamed {
        Blamed::Nobody => "nobody".to_owned(),
        Blamed::Client => "client, who leaves".to_owned(),
        Blamed::Unknown => "unknown".to_owned(),
        Blamed::Upstream(rule) => format!("upstream (`{}`)", Rule::as_str(rule)),
        Blamed::OutOfReach => "upstream (`unreachable`); netdrift, where most are (`own_network`)".to_owned(),
        Blamed::Suspect | Blamed::Empty => "suspect".to_owned(),
    }
}
