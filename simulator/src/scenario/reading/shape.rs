//! A JSON value is held against the schema: unknown and missing fields and wrong types are named with their places.

use loadgen::User;
use serde_json::{Map, Value as Json};

use super::problem::{Problem, join};
use crate::scenario::values::clock_jump::ClockJump;
use crate::scenario::values::rate::{self, Rate};
use crate::scenario::values::span;
use crate::scenario::values::written::{Notation, Shared, Stages};

/// Everything in `json` that does not fit `schema`.
pub(super) fn check(schema: &Json, json: &Json) -> Vec<Problem> {
    let mut problems = Vec::new();
    visit(schema, json, "", &mut problems);
    problems
}

fn visit(schema: &Json, json: &Json, path: &str, problems: &mut Vec<Problem>) {
    let branches = ["oneOf", "anyOf"].into_iter().find_map(|word| schema.get(word)?.as_array());
    if let Some(branches) = branches {
        let beside = schema.get("properties").and_then(Json::as_object);
        return choose(branches, beside, json, path, problems);
    }
    let wanted = types(schema);
    if !wanted.is_empty() && !wanted.iter().any(|one| is_of(one, json)) {
        problems.push(Problem::at(path, format!("must be {} (got {json})", article(wanted[0]))));
        return;
    }
    if let Some(text) = schema.get("format").and_then(Json::as_str).and_then(|format| misread(format, json)) {
        problems.push(Problem::at(path, text));
    }
    if let Some(number) = json.as_f64() {
        let limit = |word: &str| schema.get(word).and_then(Json::as_f64);
        match (limit("minimum"), limit("maximum")) {
            (Some(least), Some(most)) if !(least..=most).contains(&number) => {
                problems.push(Problem::at(path, format!("must be from {least} to {most} (got {json})")));
            }
            (Some(least), None) if number < least => {
                problems.push(Problem::at(path, format!("must be at least {least} (got {json})")));
            }
            _ => {}
        }
    }
    if let Some(words) = schema.get("enum").and_then(Json::as_array)
        && !words.contains(json)
    {
        let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
        problems.push(Problem::at(path, format!("must be one of {} (got {json})", words.join(", "))));
    }
    match json {
        Json::Object(object) => fields(schema, None, object, path, problems),
        Json::Array(items) => {
            let each = schema.get("items");
            let by_place = schema.get("prefixItems").and_then(Json::as_array);
            if let Some(by_place) = by_place
                && by_place.len() != items.len()
            {
                problems.push(Problem::at(path, format!("must have {} items", by_place.len())));
            }
            for (index, item) in items.iter().enumerate() {
                let schema = by_place.and_then(|schemas| schemas.get(index)).or(each);
                if let Some(schema) = schema {
                    visit(schema, item, &format!("{path}[{index}]"), problems);
                }
            }
        }
        _ => {}
    }
}

/// Objects told apart by one field of a fixed text, or plain texts.
fn choose(branches: &[Json], beside: Option<&Map<String, Json>>, json: &Json, path: &str, problems: &mut Vec<Problem>) {
    let tags: Vec<(&str, &str, &Json)> = branches
        .iter()
        .filter_map(|branch| {
            let (name, field) =
                branch.get("properties")?.as_object()?.iter().find(|(_, field)| field.get("const").is_some())?;
            Some((name.as_str(), field.get("const")?.as_str()?, branch))
        })
        .collect();
    let Some((tag, ..)) = tags.first().copied() else {
        // Told apart by their types; otherwise texts, or a value that may be null.
        let typed = |branch: &&Json| types(branch).iter().any(|one| is_of(one, json));
        if !json.is_null()
            && let Some(branch) = branches.iter().find(typed)
        {
            return visit(branch, json, path, problems);
        }
        let fits = branches.iter().any(|branch| match branch.get("const") {
            Some(word) => word == json,
            None => {
                let mut inner = Vec::new();
                visit(branch, json, path, &mut inner);
                inner.is_empty()
            }
        });
        if !fits {
            let words: Vec<&str> = branches.iter().filter_map(|branch| branch.get("const")?.as_str()).collect();
            let wanted =
                if words.is_empty() { "something else".to_owned() } else { format!("one of {}", words.join(", ")) };
            problems.push(Problem::at(path, format!("must be {wanted} (got {json})")));
        }
        return;
    };
    let Some(object) = json.as_object() else {
        problems.push(Problem::at(path, format!("must be an object (got {json})")));
        return;
    };
    let here = join(path, tag);
    match object.get(tag).and_then(Json::as_str) {
        None => problems.push(Problem::at(&here, "is missing and must be a text".to_owned())),
        Some(word) => match tags.iter().find(|(_, one, _)| *one == word) {
            Some((_, _, branch)) => fields(branch, beside, object, path, problems),
            None => {
                let known = tags.iter().map(|(_, word, _)| *word);
                problems.push(Problem::at(&here, format!("{word:?} is not known{}", nearest(word, known))));
            }
        },
    }
}

fn fields(
    schema: &Json,
    beside: Option<&Map<String, Json>>,
    object: &Map<String, Json>,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    let Some(known) = schema.get("properties").and_then(Json::as_object) else { return };
    let find = |name: &str| known.get(name).or_else(|| beside?.get(name));
    for (name, value) in object {
        match find(name) {
            Some(schema) => visit(schema, value, &join(path, name), problems),
            None => {
                let names = known.keys().chain(beside.into_iter().flat_map(Map::keys));
                let hint = nearest(name, names.map(String::as_str));
                problems.push(Problem::at(&join(path, name), format!("unknown field{hint}")));
            }
        }
    }
    for name in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
        if !object.contains_key(name) {
            problems.push(Problem::at(&join(path, name), "is missing".to_owned()));
        }
    }
}

/// `; did you mean "x"?`, or what there is to choose from.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let best = known.iter().map(|one| (strsim::jaro_winkler(word, one), *one)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, one)) if likeness > 0.75 => format!("; did you mean {one:?}?"),
        _ if known.is_empty() => String::new(),
        _ => format!("; known: {}", known.join(", ")),
    }
}

/// What is wrong with `json` as a value of the schema's `format`.
fn misread(format: &str, json: &Json) -> Option<String> {
    fn of<T: Notation>(text: &str) -> Option<String> {
        T::read(text).err()
    }
    match (format, json) {
        (span::FORMAT, Json::String(text)) => span::read(text).err(),
        (Shared::FORMAT, Json::String(text)) => of::<Shared>(text),
        (Stages::FORMAT, Json::String(text)) => of::<Stages>(text),
        (ClockJump::FORMAT, Json::String(text)) => of::<ClockJump>(text),
        (User::FORMAT, Json::String(text)) => of::<User>(text),
        (rate::FORMAT, Json::Number(number)) => Rate::read(number).err(),
        _ => None,
    }
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_of(name: &str, json: &Json) -> bool {
    match name {
        "object" => json.is_object(),
        "array" => json.is_array(),
        "string" => json.is_string(),
        "integer" => json.is_u64() || json.is_i64(),
        "number" => json.is_number(),
        "boolean" => json.is_boolean(),
        "null" => json.is_null(),
        _ => true,
    }
}

fn article(name: &str) -> String {
    match name {
        "object" | "array" | "integer" => format!("an {name}"),
        "string" => "a text".to_owned(),
        _ => format!("a {name}"),
    }
}
