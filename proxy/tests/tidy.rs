//! House rules that no compiler holds (ARCHITECTURE.md says why each exists). Each rule is a function from text to
//! complaints, and is shown to complain of a bad sample before it is put to the tree.

#![expect(clippy::unwrap_used, reason = "a test that can't read the tree fails")]

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/mutations.rs"]
mod mutations;
#[path = "tidy/rfcs.rs"]
mod rfcs;
#[path = "tidy/rooms.rs"]
mod rooms;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

const CRATES: [&str; 5] = ["proxy", "mock-upstreams", "faulty-upstream", "simulator", "loadgen"];

/// Lines, without a `mod tests` at the end, beyond which a file has more than one responsibility.
const MAX_LINES: usize = 400;

/// Files that may be longer, and why.
const LONG_FILES: [(&str, &str); 0] = [];

// ---- the tree ----

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text files below `folder` that are part of the project, by their path from the root, in order. What git ignores is not.
fn files(folder: &str) -> Vec<String> {
    fn walk(folder: &Path, ignored: &[PathBuf], found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.map(Result::unwrap) {
            let path = entry.path();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() && !ignored.contains(&path) => walk(&path, ignored, found),
                kind if kind.is_file() && fs::read_to_string(&path).is_ok() => found.push(path),
                _ => {}
            }
        }
    }
    let root = root();
    let ignore = read(".gitignore");
    let ignored = ignore.lines().filter_map(|line| line.strip_prefix('/')).chain([".git"]).map(|line| root.join(line));
    let mut found = Vec::new();
    walk(&root.join(folder), &ignored.collect::<Vec<_>>(), &mut found);
    let mut names: Vec<String> =
        found.iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn rust_files(folder: &str) -> Vec<String> {
    files(folder).into_iter().filter(|path| path.ends_with(".rs")).collect()
}

/// As [`rust_files`], without unit tests that have a file of their own.
fn shipped_rust_files(folder: &str) -> Vec<String> {
    rust_files(folder).into_iter().filter(|path| !path.ends_with("/tests.rs")).collect()
}

/// Puts `rule` to every file named and fails with all complaints at once.
fn hold(files: &[String], rule: impl Fn(&str, &str) -> Vec<String>) {
    assert!(!files.is_empty(), "the rule applies to nothing");
    report(files.iter().flat_map(|path| rule(path, &read(path))).collect());
}

fn report(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

// ---- reading ----

/// The part of a source file above its unit tests.
fn above_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

/// `(line number, code)` without comments. A "//" in a string cuts its line short, which hides nothing here.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
}

/// `(section, crate)` for every dependency in a Cargo.toml.
fn dependencies(manifest: &str) -> Vec<(&str, &str)> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if section.ends_with("dependencies")
            && let Some((name, _)) = line.split_once(['.', '=', ' '])
        {
            found.push((section, name));
        }
    }
    found
}

// ---- floors ----

/// What the crate `name` may use of this workspace: imports point down only.
fn below(name: &str, dev: bool) -> &'static [&'static str] {
    match name {
        "simulator" => &["proxy", "mock-upstreams", "faulty-upstream", "loadgen"],
        "faulty-upstream" => &["mock-upstreams"],
        // Itself: its integration tests use its feature `testing`, as other crates' tests do.
        "proxy" if dev => &["proxy", "mock-upstreams", "faulty-upstream"],
        // Tested against the proxy and the doubles it will meet; it knows nothing of them.
        "loadgen" if dev => &["proxy", "mock-upstreams", "faulty-upstream"],
        _ => &[],
    }
}

fn floors(name: &str, manifest: &str) -> Vec<String> {
    dependencies(manifest)
        .into_iter()
        .filter(|(section, used)| CRATES.contains(used) && !below(name, section.contains("dev")).contains(used))
        .map(|(section, used)| format!("{name}/Cargo.toml: [{section}] {used}: dependencies point down only"))
        .collect()
}

#[test]
fn crates_depend_on_lower_floors_only() {
    assert_eq!(floors("loadgen", "[dependencies]\nproxy = { path = \"../proxy\" }").len(), 1);
    assert_eq!(floors("proxy", "[dependencies]\nmock-upstreams.workspace = true").len(), 1);
    assert_eq!(floors("proxy", "[dev-dependencies]\nmock-upstreams.workspace = true"), [""; 0]);
    report(CRATES.iter().flat_map(|name| floors(name, &read(&format!("{name}/Cargo.toml")))).collect());
}

// ---- seams ----

fn names_any(path: &str, text: &str, banned: &[&str], why: &str) -> Vec<String> {
    code(text)
        .flat_map(|(number, line)| {
            let hits = banned.iter().filter(move |word| line.contains(**word));
            hits.map(move |word| format!("{path}:{number}: names `{word}`: {why}"))
        })
        .collect()
}

fn core_purity(path: &str, text: &str) -> Vec<String> {
    const BANNED: &[&str] = &[
        "tokio",
        "hyper",
        "serde",
        "tracing",
        "log::",
        "println!",
        "rand::",
        "std::time::Instant",
        "SystemTime",
        "std::fs",
        "std::thread",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "async ",
    ];
    let text = above_tests(text);
    let why = "core is std only, without clocks, sockets or tasks; pass in what it needs";
    let mut complaints = names_any(path, text, BANNED, why);
    for (number, line) in code(text).filter(|(_, line)| line.replace("crate::core", "").contains("crate::")) {
        complaints.push(format!("{path}:{number}: core uses only itself: {}", line.trim()));
    }
    complaints
}

#[test]
fn core_is_pure() {
    assert_eq!(core_purity("x", "use tokio::time::Sleep;").len(), 1);
    assert_eq!(core_purity("x", "use crate::config::Config;").len(), 1);
    assert_eq!(core_purity("x", "use crate::core::time::Timestamp; // unlike tokio's"), [""; 0]);
    hold(&shipped_rust_files("proxy/src/core"), core_purity);
}

fn sockets(path: &str, text: &str) -> Vec<String> {
    let why = "only proxy/src/env/os* (and the control socket) touches the system's sockets and clock; use Env";
    names_any(path, above_tests(text), &["tokio::net", "splice(", "rustix::pipe", "SystemTime::now"], why)
}

#[test]
fn only_the_os_environment_touches_sockets_and_clock() {
    assert_eq!(sockets("x", "let s = tokio::net::TcpStream::connect(a).await?;").len(), 1);
    let mut rest = shipped_rust_files("proxy/src");
    // The control socket is no part of what is simulated: it is how a process on a machine is asked.
    rest.retain(|path| !path.starts_with("proxy/src/env/os") && !path.starts_with("proxy/src/daemon/control"));
    hold(&rest, sockets);
}

fn biased(path: &str, text: &str) -> Vec<String> {
    let code: String = code(text).map(|(_, line)| line.to_owned() + "\n").collect();
    let opening = concat!("select", "! {");
    code.match_indices(opening)
        .filter(|(at, _)| !code[at + opening.len()..].trim_start().starts_with("biased;"))
        .map(|(at, _)| {
            let number = code[..=at].lines().count();
            format!("{path}:{number}: select without `biased;`: its random order can't be replayed")
        })
        .collect()
}

#[test]
fn every_select_is_biased() {
    let bad = concat!("\ntokio::select", "! {\n  // order\n  () = a => {}\n}");
    let good = concat!("tokio::select", "! {\n  // order\n  biased;\n  () = a => {}\n}");
    assert!(matches!(&biased("x", bad)[..], [one] if one.starts_with("x:2: ")));
    assert_eq!(biased("x", good), [""; 0]);
    hold(&rust_files(""), biased);
}

// ---- files ----

fn too_long(path: &str, text: &str) -> Vec<String> {
    let lines = above_tests(text).lines().count();
    match (lines > MAX_LINES, LONG_FILES.iter().any(|(name, _)| *name == path)) {
        (true, false) => {
            vec![format!("{path}: {lines} lines above its tests: split it, or say in LONG_FILES why it may be longer")]
        }
        (false, true) => vec![format!("{path}: {lines} lines: needs no excuse in LONG_FILES any more")],
        _ => vec![],
    }
}

#[test]
fn files_have_one_responsibility() {
    assert_eq!(too_long("x", &"let a = 1;\n".repeat(401)).len(), 1);
    assert_eq!(too_long("x", &format!("{}#[cfg(test)]\nmod tests {{}}\n", "\n".repeat(400))), [""; 0]);
    let names = rust_files("");
    hold(&names, too_long);
    for (name, reason) in LONG_FILES {
        assert!(names.iter().any(|path| path == name), "LONG_FILES: {name} is gone");
        assert!(!reason.is_empty(), "LONG_FILES: {name} has no reason");
    }
}

fn unopened(path: &str, text: &str) -> Vec<String> {
    let complaint = || format!("{path}: its first line must say in a sentence (`//!`) what the file does");
    (!text.starts_with("//! ")).then(complaint).into_iter().collect()
}

#[test]
fn every_file_says_first_what_it_does() {
    assert_eq!(unopened("x", "use std::fmt;\n//! Late.").len(), 1);
    hold(&rust_files(""), unopened);
}

fn lines_where(path: &str, text: &str, bad: impl Fn(&str) -> bool, why: &str) -> Vec<String> {
    let hits = (1..).zip(text.lines()).filter(|(_, line)| bad(line));
    hits.map(|(number, line)| format!("{path}:{number}: {why}: {}", line.trim())).collect()
}

fn marks(path: &str, text: &str) -> Vec<String> {
    let banned = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    lines_where(path, text, |line| words(line).any(|word| banned.contains(&word)), "finish it or leave it out")
}

#[test]
fn nothing_is_left_for_later() {
    assert_eq!(marks("x", concat!("// TO", "DO: all")).len(), 1);
    assert_eq!(marks("x", concat!("mktemp demo.XX", "XXXX")), [""; 0]);
    hold(&files(""), marks);
}

fn machine_paths(path: &str, text: &str) -> Vec<String> {
    let banned = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];
    lines_where(path, text, |line| banned.iter().any(|place| line.contains(place)), "a path of one machine")
}

#[test]
fn no_file_names_the_machine_it_was_made_on() {
    assert_eq!(machine_paths("x", concat!("see /ho", "me/me/notes")).len(), 1);
    hold(&files(""), machine_paths);
}

fn unparsable(path: &str, text: &str) -> Vec<String> {
    serde_json::from_str::<Value>(text).err().map(|error| format!("{path}: {error}")).into_iter().collect()
}

fn json_files(folder: &str) -> Vec<String> {
    files(folder).into_iter().filter(|path| path.ends_with(".json")).collect()
}

#[test]
fn shipped_json_parses() {
    assert_eq!(unparsable("x", "{\"a\": 1,}").len(), 1);
    hold(&[json_files("configs"), json_files("scenarios")].concat(), unparsable);
}

// ---- documents ----

/// Those of `wanted` that `document` does not name as a whole word.
fn unnamed<'a>(document: &str, wanted: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let named: BTreeSet<&str> = words(document).collect();
    wanted.into_iter().filter(|word| !named.contains(word)).collect()
}

fn make_targets(makefile: &str) -> Vec<&str> {
    makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, rest)| {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            plain && !name.is_empty() && !rest.starts_with('=')
        })
        .map(|(name, _)| name)
        .collect()
}

/// Targets that `readme` does not name as `make TARGET` in code.
fn unnamed_targets<'a>(readme: &str, makefile: &'a str) -> Vec<&'a str> {
    let named = |target: &&str| {
        readme
            .match_indices(&format!("make {target}"))
            .any(|(at, found)| readme[at + found.len()..].starts_with(|c: char| !c.is_alphanumeric() && c != '-'))
    };
    make_targets(makefile).into_iter().filter(|target| !named(target)).collect()
}

#[test]
fn readme_names_every_make_target() {
    let makefile = "a := 1\nb-c: d ## text\n\techo x:\n.PHONY: z\nb: d\n";
    assert_eq!(make_targets(makefile), ["b-c", "b"]);
    assert_eq!(unnamed_targets("`make b-c` does it", makefile), ["b"]);
    let missing: Vec<_> = unnamed_targets(&read("README.md"), &read("Makefile"))
        .into_iter()
        .map(|target| format!("README.md: does not name `make {target}`"))
        .collect();
    report(missing);
}

#[test]
fn scenarios_readme_names_every_scenario() {
    let readme = read("scenarios/README.md");
    let files = json_files("scenarios");
    let links: Vec<String> = files.iter().filter_map(|path| Some(format!("({})", path.rsplit_once('/')?.1))).collect();
    let missing: Vec<_> = links.iter().filter(|link| !readme.contains(link.as_str())).collect();
    assert!(missing.is_empty(), "scenarios/README.md has no row for {missing:?}");
}

/// The names of all fields in `value`, but for those that the user makes up.
fn fields<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                found.insert(name);
                if name != "connect_headers" {
                    fields(member, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        _ => {}
    }
}

#[test]
fn configs_readme_names_every_field() {
    let sample = serde_json::json!({"a": [{"b": 1}], "connect_headers": {"X-Mine": "y"}});
    let mut found = BTreeSet::new();
    fields(&sample, &mut found);
    assert_eq!(unnamed("`a` and `connect_headers`", found), ["b"]);

    let reference = read("configs/README.md");
    hold(&json_files("configs"), |path, text| {
        let config = serde_json::from_str(text).unwrap();
        let mut found = BTreeSet::new();
        fields(&config, &mut found);
        let missing = unnamed(&reference, found).into_iter();
        missing.map(|field| format!("configs/README.md: does not name `{field}`, which {path} uses")).collect()
    });
}

#[test]
fn architecture_names_every_dependency() {
    assert_eq!(unnamed("tokio, serde_json", ["tokio", "serde"]), ["serde"]);
    let architecture = read("ARCHITECTURE.md");
    let manifests: Vec<_> = CRATES.iter().map(|name| format!("{name}/Cargo.toml")).collect();
    hold(&manifests, |path, text| {
        let missing = unnamed(&architecture, dependencies(text).into_iter().map(|(_, used)| used)).into_iter();
        missing.map(|used| format!("ARCHITECTURE.md: does not say why {path} uses {used}")).collect()
    });
}
