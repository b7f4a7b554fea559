//! Checks that each crate's files do what its table of rooms says (ARCHITECTURE.md shows the same tables).

use std::collections::{BTreeMap, BTreeSet};

use super::imports::Sources;
use super::{CRATES, read, report, root, rust_files};

const HEADER: &str = "| Room | Holds | Imports |";

/// The most entries that a folder of `src` may have. `x.rs` and the folder `x` beside it are one.
const MAX_ENTRIES: usize = 14;

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    name: String,
    holds: String,
    imports: BTreeSet<String>,
}

/// The table in the documentation of `lib.rs`, or in a page, in order; empty where there is none.
fn table(text: &str) -> Vec<Room> {
    let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
    let rows = lines.skip_while(|line| *line != HEADER).skip(2).take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, holds, imports] = cells[..] else { return None };
        let imports = imports.split(',').map(plain).filter(|name| !name.is_empty()).collect();
        Some(Room { name: plain(name), holds: holds.to_owned(), imports })
    })
    .collect()
}

fn plain(name: &str) -> String {
    name.trim().trim_matches('`').to_owned()
}

/// The room that a file of `src` stands in; `None` for the crate's roots.
fn room(path: &str) -> Option<&str> {
    let name = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    (!matches!(name, "lib" | "main" | "bin")).then_some(name)
}

/// What is wrong with the table of `name` and with the imports of its files.
fn wrong_imports(name: &str, rooms: &[Room], sources: &Sources) -> Vec<String> {
    let mut complaints = Vec::new();
    let allowed: BTreeMap<&str, &BTreeSet<String>> =
        rooms.iter().map(|room| (room.name.as_str(), &room.imports)).collect();
    for (position, one) in rooms.iter().enumerate() {
        for import in &one.imports {
            match rooms.iter().position(|other| other.name == *import) {
                None => {
                    complaints.push(format!("{name}/src/lib.rs: `{}` imports `{import}`, which has no row", one.name))
                }
                Some(at) if at >= position => complaints.push(format!(
                    "{name}/src/lib.rs: `{}` imports `{import}`, which stands below it in the table: rows go from the \
                     lowest room to the highest",
                    one.name
                )),
                Some(_) => {}
            }
        }
    }
    let mut missing = BTreeSet::new();
    for (file, imports) in sources.imports() {
        let Some(here) = room(file) else { continue };
        let Some(row) = allowed.get(here) else {
            missing.insert(here);
            continue;
        };
        for import in imports {
            match room(import) {
                Some(there) if there != here && !row.contains(there) => complaints.push(format!(
                    "{name}/src/{file}: imports {import}: the table in lib.rs doesn't allow `{here}` to import `{there}`"
                )),
                _ => {}
            }
        }
    }
    complaints.extend(missing.into_iter().map(|room| format!("{name}/src/lib.rs: the table has no row for `{room}`")));
    complaints
}

/// The files that can be reached from `from` by imports.
fn reach<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        next.extend(imports.get(file).into_iter().flatten().copied().filter(|file| found.insert(*file)));
    }
    found
}

/// The files of `name` that import one another in a ring.
fn rings(name: &str, sources: &Sources) -> Vec<String> {
    let imports = sources.imports();
    let reached: BTreeMap<&str, BTreeSet<&str>> = imports.keys().map(|file| (*file, reach(&imports, file))).collect();
    let mut told = BTreeSet::new();
    let mut complaints = Vec::new();
    for (file, found) in &reached {
        if found.contains(file) && told.insert(*file) {
            let ring: Vec<&str> = found.iter().copied().filter(|other| reached[other].contains(file)).collect();
            told.extend(&ring);
            complaints.push(format!("{name}/src: a ring of imports: {}", ring.join(", ")));
        }
    }
    complaints
}

/// The folders in `root` with too many entries.
fn crowded<'a>(root: &str, files: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut folders: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for file in files {
        let mut folder = root.to_owned();
        for part in file.split('/') {
            let entry = part.trim_end_matches(".rs");
            folders.entry(folder.clone()).or_default().insert(entry);
            folder = format!("{folder}/{entry}");
        }
    }
    let crowded = folders.into_iter().filter(|(_, entries)| entries.len() > MAX_ENTRIES);
    crowded.map(|(folder, entries)| format!("{folder}: {} entries: give some a folder", entries.len())).collect()
}

fn sources(name: &str) -> Sources {
    let src = format!("{name}/src/");
    Sources::read(rust_files(&src).into_iter().map(|path| {
        let text = read(&path);
        (path[src.len()..].to_owned(), text)
    }))
}

fn sample(files: &[(&str, &str)]) -> Sources {
    Sources::read(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
}

#[test]
fn rooms_import_what_their_table_allows() {
    let text = "//! | Room | Holds | Imports |\n//! |---|---|---|\n//! | `a` | x | |\n//! | `b` | y | `a` |\n\nmod a;";
    let rooms = table(text);
    assert_eq!(rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(rooms[1].imports, BTreeSet::from(["a".to_owned()]));
    assert_eq!(table("no table"), []);

    let good = sample(&[("lib.rs", text), ("a.rs", "struct A;"), ("b/mod.rs", "use crate::a::A;")]);
    assert_eq!(wrong_imports("x", &rooms, &good), [""; 0]);
    for (bad, path, complaint) in [
        ("use crate::b::B;", "a.rs", "x/src/a.rs: imports b/mod.rs"),
        ("fn f() -> crate::b::B {}", "a.rs", "x/src/a.rs: imports b/mod.rs"),
        ("use crate::{b::{B, C}};", "a.rs", "x/src/a.rs: imports b/mod.rs"),
        ("use super::super::b::B;", "a/inner.rs", "x/src/a/inner.rs: imports b/mod.rs"),
        ("use crate::B;", "a.rs", "x/src/a.rs: imports b/mod.rs"),
        ("struct C;", "c.rs", "x/src/lib.rs: the table has no row for `c`"),
    ] {
        let lib = format!("{text}\npub use b::B;\nmod b;");
        let files = sample(&[("lib.rs", &lib), ("b/mod.rs", "pub struct B;"), (path, bad)]);
        let complaints = wrong_imports("x", &rooms, &files);
        assert!(complaints.len() == 1 && complaints[0].starts_with(complaint), "{bad}: {complaints:?}");
    }
    // Neither comments, strings nor unit tests import anything.
    let quiet = "// crate::b::B\nconst A: &str = \"crate::b::B\";\n#[cfg(test)]\nmod tests { use crate::b::B; }";
    assert_eq!(wrong_imports("x", &rooms, &sample(&[("a.rs", quiet), ("b.rs", "")])), [""; 0]);
    let ring = table("| Room | Holds | Imports |\n|---|---|---|\n| `a` | x | `b` |\n| `b` | y | `a` |\n");
    assert_eq!(wrong_imports("x", &ring, &sample(&[])).len(), 1);

    report(CRATES.iter().flat_map(|name| wrong_imports(name, &rooms_of(name), &sources(name))).collect());
}

/// The table of a crate, which has to be there.
fn rooms_of(name: &str) -> Vec<Room> {
    let rooms = table(&read(&format!("{name}/src/lib.rs")));
    assert!(!rooms.is_empty(), "{name}/src/lib.rs: has no table `{HEADER}`");
    rooms
}

#[test]
fn no_files_import_one_another_in_a_ring() {
    let ring = |files: &[(&str, &str)]| rings("x", &sample(files)).len();
    assert_eq!(ring(&[("a.rs", "use crate::b::B;"), ("b.rs", "use super::a::A;")]), 1);
    assert_eq!(
        ring(&[("a.rs", "use crate::b::B;"), ("b.rs", "fn f() { crate::c::g() }"), ("c.rs", "use crate::a;")]),
        1
    );
    // A parent that only declares and re-exports its children is in no ring with them …
    assert_eq!(ring(&[("a/mod.rs", "mod b;\npub use b::{B, b};\npub struct A;"), ("a/b.rs", "use super::A;")]), 0);
    // … but one that uses what it re-exports is, and so is a child that reaches its sister through it.
    assert_eq!(ring(&[("a/mod.rs", "mod b;\npub use b::B;\npub struct A(B);"), ("a/b.rs", "use super::A;")]), 1);
    let sisters =
        [("a/mod.rs", "mod b;\nmod c;\npub use b::B;"), ("a/b.rs", "use super::c::C;"), ("a/c.rs", "use super::B;")];
    assert_eq!(ring(&sisters), 1);
    report(CRATES.iter().flat_map(|name| rings(name, &sources(name))).collect());
}

#[test]
fn no_folder_is_crowded() {
    let names: Vec<String> = (0..15).map(|number| format!("a/f{number}.rs")).collect();
    assert_eq!(crowded("x", names.iter().map(String::as_str)), ["x/a: 15 entries: give some a folder"]);
    assert_eq!(crowded("x", names[1..].iter().map(String::as_str).chain(["a/f1/tests.rs"])), [""; 0]);
    let roots = CRATES.iter().flat_map(|name| [format!("{name}/src"), format!("{name}/tests")]);
    let complaints = roots.flat_map(|root| {
        let files = rust_files(&format!("{root}/"));
        crowded(&root, files.iter().map(|path| &path[root.len() + 1..]))
    });
    report(complaints.collect());
}

#[test]
fn architecture_shows_the_tables_of_rooms() {
    let page = read("ARCHITECTURE.md");
    assert!(root().join("ARCHITECTURE.md").exists());
    let shown = |name: &str| {
        let heading = format!("### Rooms of `{name}`");
        page.split_once(&heading).map(|(_, behind)| table(behind)).unwrap_or_default()
    };
    assert_eq!(shown("no such crate"), []);
    let differing = CRATES.iter().filter(|name| shown(name) != rooms_of(name));
    report(
        differing.map(|name| format!("ARCHITECTURE.md: the rooms of `{name}` differ from {name}/src/lib.rs")).collect(),
    );
}
