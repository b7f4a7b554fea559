//! Finds the line of a JSON text in which a value stands.

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

/// The line, from 1, of what `path` leads to in `text`: `upstreams[0].plan`, or `line 3, column 7`. A path that leads nowhere leads to the
/// last value on its way, and the file as a whole stands on its first line.
pub(super) fn line_of(text: &str, path: &str) -> usize {
    if let Some(line) = path.strip_prefix("line ").and_then(|rest| rest.split(',').next()?.parse().ok()) {
        return line;
    }
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
    let start = parsed.ok().and_then(|parsed| parsed.value).map_or(0, |value| start_of(&value, path));
    1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count()
}

/// Where what `path` leads to begins: the name of a field, or an element.
fn start_of(value: &Value<'_>, path: &str) -> usize {
    let (mut value, mut start) = (value, value.range().start);
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        let found = match (value, step.strip_suffix(']')) {
            (Value::Array(array), Some(index)) => index.parse().ok().and_then(|index: usize| {
                let element = array.elements.get(index)?;
                Some((element, element.range().start))
            }),
            (Value::Object(object), None) => object.get(step).map(|field| (&field.value, field.range().start)),
            _ => None,
        };
        let Some((next, at)) = found else { break };
        (value, start) = (next, at);
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_the_line_of_its_field_or_element() {
        let text = "{\n \"name\": \"x\",\n \"upstreams\": [\n  {\"name\": \"a\"},\n  {\n   \"plan\": 1}\n ]\n}\n";
        for (path, line) in [
            ("", 1),
            ("name", 2),
            ("upstreams[0].name", 4),
            ("upstreams[1]", 5),
            ("upstreams[1].plan", 6),
            ("upstreams[1].plan.faults[3]", 6),
            ("upstreams[7]", 3),
            ("nothing", 1),
            ("line 3, column 7", 3),
        ] {
            assert_eq!(line_of(text, path), line, "{path}");
        }
        assert_eq!(line_of("{ broken", "name"), 1);
    }
}
