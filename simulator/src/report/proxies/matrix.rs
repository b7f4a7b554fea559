//! Writes the results of a matrix as a page.

use std::collections::BTreeSet;
use std::fmt::Write;

use faulty_upstream::fault::{Family, Strikes};
use faulty_upstream::{CATALOGUE, Fault};

use crate::explore::matrix::{Cell, Column, Matrix, Share, Shown, Tally, Trial};
use crate::subject::{Feature, NETDRIFT};

const FAMILIES: [Family; 6] =
    [Family::Before, Family::Handshake, Family::Reply, Family::Tunnel, Family::Plain, Family::Whole];

/// A cell in a few words.
pub fn matrix_cell(cell: Option<&Cell>) -> String {
    let Some(cell) = cell else { return "not run".to_owned() };
    let failed = cell.tunnels.failures() + cell.plain.failures();
    let Share { runs, of } = cell.share;
    let share = if runs < of { format!(", {runs} of {of} runs") } else { String::new() };
    let shown = match cell.shown() {
        Shown::NotPlayed => "n/a".to_owned(),
        Shown::Stuck => "**stuck**".to_owned(),
        Shown::Whole => "whole".to_owned(),
        Shown::Excused => format!("excused {failed}/{}", cell.tunnels.asked + cell.plain.asked),
        Shown::Broken => {
            let laws: Vec<String> = cell.broken.iter().map(|(law, times)| format!("{law} {times}")).collect();
            format!("**{}**", laws.join(", "))
        }
    };
    shown + &share
}

/// The page of a matrix: who was played, what came of each fault, what was found in others, and what was claimed beside what was shown.
pub fn matrix_page(matrix: &Matrix) -> String {
    let mut page = String::from(HEAD);
    let _ = writeln!(page, "Last played on {}, each cell {}.\n", matrix.date, times(matrix));
    page.push_str("| Subject | Version | What it is |\n|---|---|---|\n");
    for Column { title, version, about, .. } in &matrix.columns {
        let _ = writeln!(page, "| {title} | {} | {} |", escaped(version), escaped(about));
    }
    page.push_str(LEGEND);
    not_run(&mut page, matrix);
    for family in FAMILIES {
        table(&mut page, matrix, family);
    }
    not_played(&mut page, matrix);
    found(&mut page, matrix);
    features(&mut page, matrix);
    page
}

/// How often each cell was played.
fn times(matrix: &Matrix) -> String {
    let of = || matrix.cells.iter().map(|cell| cell.share.of);
    match (of().min().unwrap_or_default(), of().max().unwrap_or_default()) {
        (1, 1) => "once".to_owned(),
        (least, most) if least == most => format!("{most} times"),
        (least, most) => format!("{least} to {most} times"),
    }
}

const HEAD: &str = "# Every fault against every proxy

Made by `make matrix` from `simulator/comparison.json`; don't edit it. Each cell is a run of the live engine of [simulator](README.md): three
upstreams stand behind the proxy, and one of them has the fault for a second and a half. A subject that has room for one upstream only gets
that one. One client opens tunnels and sends bytes through them, another asks for pages; both are of good manners and wait 7 s. Then all is
healed, and requests must succeed again. The black-box laws judge every subject alike, by what clients and upstreams saw, but for those that
rest on what a subject lacks by its own file (`simulator/subjects/`).

";

const LEGEND: &str = "
One command shows a cell again: `simulator matrix --faults FAULT --subjects SUBJECT`, with their names as they stand in the tables.

- `whole`: every request of every client succeeded, and all laws hold.
- `excused 5/46`: all laws hold. 5 of 46 requests failed, and the laws demand nothing there: a tunnel breaks off behind its 200, an upstream answers a
  page with an error that may be the target's own, every upstream of the subject has the fault, or the subject lacks what would have helped.
- **`answered 3`**: this law was broken three times. The [laws](README.md#the-laws) say what that means.
- **`stuck`**: once the fault was over, requests did not succeed again within 5 s.
- `…, 2 of 3 runs`: the cell was played several times, came out like that twice, and better otherwise. Without that all its runs came out so.
- `n/a`: the subject can't do what the cell asks; the reasons are below the tables.

";

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn not_run(page: &mut String, matrix: &Matrix) {
    for Column { title, subject, .. } in &matrix.columns {
        let missing = Trial::all().filter(|trial| matrix.cell(trial.name(), subject).is_none()).count();
        if missing > 0 {
            let _ =
                writeln!(page, "Not run with {title}: {missing} of {} faults and features.\n", Trial::all().count());
        }
    }
}

fn of_family(family: Family) -> impl Iterator<Item = &'static Fault> {
    CATALOGUE.iter().filter(move |fault| fault.family == family)
}

fn table(page: &mut String, matrix: &Matrix, family: Family) {
    let mut heading = family.name().to_owned();
    heading[..1].make_ascii_uppercase();
    let names: Vec<&str> = matrix.columns.iter().map(|column| column.subject.as_str()).collect();
    let _ = writeln!(page, "## {heading}\n\n| Fault | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for fault in of_family(family) {
        let cells = names.iter().map(|subject| matrix_cell(matrix.cell(fault.name, subject)));
        let _ = writeln!(page, "| `{}` | {} |", fault.name, cells.collect::<Vec<_>>().join(" | "));
    }
    page.push('\n');
}

/// The cells that could not be played, by why.
fn not_played(page: &mut String, matrix: &Matrix) {
    let faults = || matrix.cells.iter().filter(|cell| Trial::faults().any(|trial| trial.name() == cell.trial));
    let cells = faults().filter(|cell| cell.shown() == Shown::NotPlayed);
    let whys: BTreeSet<&String> = cells.flat_map(|cell| &cell.said).collect();
    if !whys.is_empty() {
        page.push_str("Why cells are `n/a`:\n\n");
        for why in whys {
            let _ = writeln!(page, "- {}", escaped(why));
        }
        page.push('\n');
    }
}

/// What was found in others, as facts.
fn found(page: &mut String, matrix: &Matrix) {
    page.push_str("## Faults found in others\n\nWhat clients saw, by their own records, in the configuration of `simulator/subjects/`:\n\n");
    let mut none = true;
    for column in matrix.columns.iter().filter(|column| column.subject != NETDRIFT) {
        let cells = matrix.cells.iter().filter(|cell| cell.subject == column.subject);
        let cells = cells.filter(|cell| matches!(cell.shown(), Shown::Broken | Shown::Stuck));
        for cell in cells {
            none = false;
            let _ = writeln!(page, "- {} (`{}`), {}.", column.title, cell.trial, saw(cell));
            for text in &cell.said {
                let _ = writeln!(page, "  - {}", escaped(text));
            }
        }
    }
    if none {
        page.push_str("None.\n");
    }
    page.push('\n');
}

fn saw(cell: &Cell) -> String {
    let of = |what: &str, tally: &Tally| {
        let hows: Vec<String> = tally.failed.iter().map(|(how, times)| format!("{how}: {times}")).collect();
        let how = if hows.is_empty() { String::new() } else { format!(" ({})", hows.join("; ")) };
        format!("{} of {} {what} failed{how}", tally.failures(), tally.asked)
    };
    if cell.plain.asked == 0 {
        return of("tunnels", &cell.tunnels);
    }
    format!("{}, {}", of("tunnels", &cell.tunnels), of("pages", &cell.plain))
}

/// How the matrix shows a feature: by a law, and with some faults.
struct Evidence {
    feature: Feature,
    law: &'static str,
    shows: fn(&Fault) -> bool,
}

/// The features that the matrix shows.
const EVIDENCE: [Evidence; 6] = [
    Evidence { feature: Feature::ExactShares, law: "converged", shows: |_| true },
    Evidence { feature: Feature::Failover, law: "answered", shows: |fault| fault.strikes() == Strikes::Listener },
    Evidence {
        feature: Feature::ConnectFailoverByReply,
        law: "answered",
        shows: |fault| fault.family == Family::Reply,
    },
    Evidence { feature: Feature::PlainFailoverByReply, law: "answered", shows: |fault| fault.family == Family::Reply },
    Evidence { feature: Feature::BackOff, law: "left-alone", shows: |_| true },
    Evidence {
        feature: Feature::HttpsUpstreams,
        law: "certificates",
        shows: |fault| fault.family == Family::Handshake,
    },
];

fn features(page: &mut String, matrix: &Matrix) {
    page.push_str(
        "## Features claimed beside features shown\n\n\
         A subject claims what its file does not say it lacks; what it lacks stands below the table with the reason. What is shown is either the run \
         that asks for the feature, with what it would say in the tables above (`expect[1]` is the second of what its scenario expects beyond the laws) and how many of the counted requests each upstream saw: `simulator \
         matrix --features FEATURE --subjects SUBJECT` shows it again. Or it is the law that would break without the feature, and with how many of the \
         faults it held. Shares count as shown if they are exact where the subject claims that, else if chi-square at a level of 0.001 does not speak \
         against them. `http` is what `simulator conformance --subject SUBJECT` is about.\n\n",
    );
    let titles: Vec<&str> = matrix.columns.iter().map(|column| column.title.as_str()).collect();
    let _ = writeln!(page, "| Feature | {} |\n|---|{}", titles.join(" | "), "---|".repeat(titles.len()));
    for feature in Feature::ALL {
        let evidence = EVIDENCE.iter().find(|evidence| evidence.feature == feature);
        let cells = matrix.columns.iter().map(|column| match (column.lacks.contains_key(&feature), evidence) {
            (true, _) => "not claimed".to_owned(),
            (false, Some(evidence)) => format!("claimed; {}", held(matrix, column, evidence)),
            (false, None) if Trial::features().any(|trial| trial.name() == feature.as_str()) => {
                format!("claimed; {}", asked(matrix.cell(feature.as_str(), &column.subject)))
            }
            (false, None) => "claimed".to_owned(),
        });
        let _ = writeln!(page, "| {feature} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    page.push_str("\nWhat is not claimed, and why:\n\n");
    for column in &matrix.columns {
        for (feature, why) in &column.lacks {
            let _ = writeln!(page, "- {}, {feature}: {}", column.title, escaped(why));
        }
    }
}

/// What the run says that asks for a feature, and the shares in it.
fn asked(cell: Option<&Cell>) -> String {
    let shares = cell.into_iter().flat_map(|cell| &cell.counted);
    let shares: Vec<String> = shares.map(|(upstream, count)| format!("{upstream} {count}")).collect();
    let shares = if shares.is_empty() { String::new() } else { format!(" ({})", shares.join(", ")) };
    matrix_cell(cell) + &shares
}

/// With how many of the faults the law of `evidence` held.
fn held(matrix: &Matrix, column: &Column, evidence: &Evidence) -> String {
    let law = evidence.law;
    let faults = CATALOGUE.iter().filter(|fault| (evidence.shows)(fault));
    let cells = faults.filter_map(|fault| matrix.cell(fault.name, &column.subject));
    let played: Vec<&Cell> = cells.filter(|cell| cell.shown() != Shown::NotPlayed).collect();
    let held = played.iter().filter(|cell| cell.shown() != Shown::Stuck && !cell.broken.contains_key(law)).count();
    format!("{law} held with {held} of {}", played.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::explore::matrix::VERSION;
    use crate::judge::Verdict;

    fn cell(subject: &str, trial: &str, verdict: Verdict, failed: u64) -> Cell {
        let broken = if verdict == Verdict::Violated {
            BTreeMap::from([("answered".to_owned(), failed)])
        } else {
            BTreeMap::new()
        };
        Cell {
            trial: trial.to_owned(),
            subject: subject.to_owned(),
            verdict,
            said: broken.keys().map(|law| format!("{law}: x-1 failed | so")).collect(),
            broken,
            tunnels: Tally {
                asked: 20,
                failed: (failed > 0).then(|| ("reset in the data".to_owned(), failed)).into_iter().collect(),
            },
            plain: Tally { asked: 20, failed: BTreeMap::new() },
            counted: BTreeMap::new(),
            share: Share::default(),
        }
    }

    #[test]
    fn a_cell_that_came_out_so_in_some_of_its_runs_says_in_how_many() {
        let bad = cell("y", "x", Verdict::Violated, 2);
        let share = Share { runs: 2, of: 3 };
        assert_eq!(matrix_cell(Some(&Cell { share, ..bad.clone() })), "**answered 2**, 2 of 3 runs");
        assert_eq!(matrix_cell(Some(&bad)), "**answered 2**");
    }

    fn column(subject: &str, lacks: &[Feature]) -> Column {
        Column {
            subject: subject.to_owned(),
            title: subject.to_uppercase(),
            about: "a | b".to_owned(),
            version: "1.0".to_owned(),
            digest: String::new(),
            lacks: lacks.iter().map(|feature| (*feature, "so".to_owned())).collect(),
        }
    }

    #[test]
    fn the_page_tells_what_was_seen_and_what_was_not_run() {
        let weights = cell(NETDRIFT, "weights", Verdict::Passed, 0);
        let matrix = Matrix {
            version: VERSION,
            date: "2026-01-31".to_owned(),
            columns: vec![column(NETDRIFT, &[]), column("other", &[Feature::ConnectFailoverByReply])],
            cells: vec![
                Cell { share: Share { runs: 3, of: 3 }, ..cell(NETDRIFT, "refuse", Verdict::Passed, 0) },
                cell(NETDRIFT, "accept-close", Verdict::Violated, 1),
                cell("other", "refuse", Verdict::Violated, 3),
                cell("other", "accept-reset", Verdict::Passed, 2),
                cell("other", "garbage", Verdict::Violated, 4),
                Cell { counted: BTreeMap::from([("a".to_owned(), 30), ("b".to_owned(), 10)]), ..weights },
                cell("other", "drain", Verdict::Violated, 4),
            ],
        };
        let page = matrix_page(&matrix);
        for line in [
            "Last played on 2026-01-31, each cell 1 to 3 times.",
            "| OTHER | 1.0 | a \\| b |",
            "| `refuse` | whole | **answered 3** |",
            "| `accept-reset` | not run | excused 2/40 |",
            "- OTHER (`refuse`), 3 of 20 tunnels failed (reset in the data: 3), 0 of 20 pages failed.",
            "  - answered: x-1 failed \\| so",
            "- OTHER (`garbage`), 4 of 20 tunnels failed (reset in the data: 4), 0 of 20 pages failed.",
            "| failover | claimed; answered held with 1 of 1 | claimed; answered held with 0 of 1 |",
            "| connect-failover-by-reply | claimed; answered held with 0 of 0 | not claimed |",
            "| weights | claimed; whole (a 30, b 10) | claimed; not run |",
            "| drain | claimed; not run | claimed; **answered 4** |",
            "| http | claimed | claimed |",
            "- OTHER (`drain`), 4 of 20 tunnels failed (reset in the data: 4), 0 of 20 pages failed.",
            "- OTHER, connect-failover-by-reply: so",
        ] {
            assert!(page.lines().any(|one| one == line), "{line}\n{page}");
        }
        let all = Trial::all().count();
        let missing = format!("Not run with OTHER: {} of {all} faults and features.", all - 4);
        assert!(page.contains(&missing), "{page}");
        assert!(!page.contains("NETDRIFT (`accept-close`)"), "our own are in the tables: {page}");
        for fault in CATALOGUE {
            assert!(page.contains(&format!("| `{}` |", fault.name)), "{}", fault.name);
        }
    }
}
