//! Reads which file of a crate imports which other, as far as its text shows.
//!
//! 1. A file's place in `src` gives its module path.
//! 2. Comments, strings and unit tests are taken out of its text.
//! 3. Every path that begins with `crate`, `super`, `self` or a module that the file declares is followed through the
//!    crate's modules to the file that it ends in; a name that this file only re-exports leads on to the file it
//!    comes from.
//! 4. `mod x;` and `pub use x::Name;` are no imports of `x`, unless the file uses `Name` itself.

use std::collections::{BTreeMap, BTreeSet};

use super::above_tests;

/// The files of one crate's `src`, by path from there (`http/head/mod.rs`).
pub(crate) struct Sources {
    files: BTreeMap<String, File>,
    by_module: BTreeMap<Vec<String>, String>,
}

struct File {
    module: Vec<String>,
    code: String,
    children: BTreeSet<String>,
    uses: Vec<Use>,
}

/// One path of a `use` item, or one that stands in code.
struct Use {
    path: Vec<String>,
    /// The name by which the file knows it; `*` for all.
    name: String,
    /// It is re-exported, by `pub use` of any reach.
    public: bool,
}

impl Sources {
    /// Of `(path from src, text)`.
    pub(crate) fn read(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let files: BTreeMap<String, File> = files
            .into_iter()
            .filter(|(path, _)| !path.ends_with("tests.rs") && !path.contains("/tests/"))
            .map(|(path, text)| {
                let file = File::read(&path, &text);
                (path, file)
            })
            .collect();
        let modules = files.iter().filter(|(path, _)| *path != "main.rs");
        let by_module = modules.map(|(path, file)| (file.module.clone(), path.clone())).collect();
        Sources { files, by_module }
    }

    /// Every file with the files that it imports.
    pub(crate) fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        self.files.iter().map(|(path, file)| (path.as_str(), self.imports_of(path, file))).collect()
    }

    fn imports_of(&self, path: &str, file: &File) -> BTreeSet<&str> {
        let counted = file.uses.iter().filter(|one| !one.public || file.names_again(&one.name));
        let mut found: BTreeSet<&str> = counted.filter_map(|one| self.follow(&absolute(file, &one.path)?, 0)).collect();
        found.remove(path);
        found
    }

    /// The file that the path from the crate's root ends in.
    fn follow(&self, path: &[String], depth: usize) -> Option<&str> {
        let known = (0..=path.len()).rev().find(|count| self.by_module.contains_key(&path[..*count]))?;
        let found = self.by_module[&path[..known]].as_str();
        let Some(item) = path.get(known) else { return Some(found) };
        let file = &self.files[found];
        let public = file.uses.iter().filter(|one| one.public);
        let source = public.into_iter().find(|one| one.name == *item).and_then(|one| absolute(file, &one.path));
        // A crate whose re-exports go round does not compile; the depth only keeps a bad sample from looping.
        match source {
            Some(source) if depth < 8 => self.follow(&source, depth + 1),
            _ => Some(found),
        }
    }
}

/// The path from the crate's root, where `path` begins in this crate.
fn absolute(file: &File, path: &[String]) -> Option<Vec<String>> {
    let (first, mut rest) = path.split_first()?;
    let mut from = match first.as_str() {
        "crate" => Vec::new(),
        "self" => file.module.clone(),
        "super" => file.module[..file.module.len().checked_sub(1)?].to_vec(),
        child if file.children.contains(child) => [&file.module[..], &[child.to_owned()]].concat(),
        _ => return None,
    };
    while let Some((next, behind)) = rest.split_first().filter(|(next, _)| *next == "super") {
        from.pop().filter(|_| next == "super")?;
        rest = behind;
    }
    from.extend_from_slice(rest);
    Some(from)
}

impl File {
    fn read(path: &str, text: &str) -> Self {
        let stem = path.trim_end_matches(".rs").trim_end_matches("mod").trim_end_matches('/');
        let module = match stem {
            "lib" | "main" => Vec::new(),
            stem => stem.split('/').map(str::to_owned).collect(),
        };
        let code = without_comments_and_strings(above_tests(text));
        let (items, rest) = split_uses(&code);
        let children = rest.split_inclusive(';').filter_map(child).map(str::to_owned).collect();
        let rest: String = rest
            .split_inclusive(';')
            .map(|item| if child(item).is_some() { item.rsplit_once("mod ").unwrap_or_default().0 } else { item })
            .collect();
        let mut uses = Vec::new();
        for (public, tree) in items {
            read_tree(&tree, &mut Vec::new(), public, &mut uses);
        }
        for path in paths(&rest) {
            let name = path.last().cloned().unwrap_or_default();
            uses.push(Use { path, name, public: false });
        }
        File { module, code: rest, children, uses }
    }

    /// Whether the code outside `use` items names it.
    fn names_again(&self, name: &str) -> bool {
        words(&self.code).any(|word| word == name)
    }
}

/// The module that a `mod x;` declares.
fn child(item: &str) -> Option<&str> {
    let name = item.rsplit_once("mod ")?.1.trim_end_matches(';').trim();
    is_name(name).then_some(name)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// The text without what a reader of paths must not see. A quote as a character literal (`'"'`) is known.
fn without_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest[1..].find('\'').map_or(1, |end| end + 2)
        } else if let Some(hashes) = raw_string(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
        } else if c == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |at| at + 2)
        } else {
            out.push(c);
            c.len_utf8()
        };
        rest = &rest[skip..];
    }
    out
}

/// The number of hashes, where a raw string begins.
fn raw_string(text: &str) -> Option<usize> {
    let behind = text.strip_prefix('r')?;
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    behind[hashes..].starts_with('"').then_some(hashes)
}

/// The `use` items, each with whether it re-exports, and the code without them.
fn split_uses(code: &str) -> (Vec<(bool, String)>, String) {
    let mut items = Vec::new();
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        // A `use` begins a line; what stands before it (a `mod x { … }`, an attribute) stays.
        let begins = statement.match_indices("use ").find(|(at, _)| {
            let line = statement[..*at].rsplit('\n').next().unwrap_or_default().trim();
            line.is_empty() || (line.starts_with("pub") && !line.contains(['{', '=']))
        });
        match begins {
            Some((at, _)) => {
                let line = statement[..at].rsplit('\n').next().unwrap_or_default();
                items.push((line.contains("pub"), statement[at + 4..].trim_end_matches(';').to_owned()));
                rest.push_str(&statement[..at - line.len()]);
            }
            None => rest.push_str(statement),
        }
    }
    (items, rest)
}

/// The paths of a `use` tree (`a::{b, c::D as E}`).
fn read_tree(tree: &str, before: &mut Vec<String>, public: bool, found: &mut Vec<Use>) {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let names: Vec<String> =
            head.split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        let depth = before.len();
        before.extend(names);
        for part in split_group(group.rsplit_once('}').map_or(group, |(inside, _)| inside)) {
            read_tree(part, before, public, found);
        }
        before.truncate(depth);
    } else if !tree.is_empty() {
        let (path, name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name.trim())));
        let mut path: Vec<String> =
            before.iter().cloned().chain(path.split("::").map(|name| name.trim().to_owned())).collect();
        // `a::{self}` and `a::*` are of `a` itself.
        let glob = path.last().is_some_and(|last| last == "*");
        if glob || (path.len() > 1 && path.last().is_some_and(|last| last == "self")) {
            path.pop();
        }
        let last = if glob { "*".to_owned() } else { path.last().cloned().unwrap_or_default() };
        found.push(Use { name: name.map_or(last, str::to_owned), path, public });
    }
}

/// Splits at the commas that stand in no inner group.
fn split_group(group: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = group.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.collect()
}

/// Every path of at least two names that stands in code, outside `use` items.
fn paths(code: &str) -> Vec<Vec<String>> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.split(|c| !is_path(c))
        .filter(|text| text.contains("::"))
        .map(|text| text.split("::").filter(|name| is_name(name)).map(str::to_owned).collect())
        .collect()
}
