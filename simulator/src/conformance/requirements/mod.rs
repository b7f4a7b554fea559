//! All requirements, by RFC and section. Each text is the demand in our own words; the RFC decides.

mod errors;
mod messages;
mod probe;
mod syntax;
mod trailers;

use super::requirement::Requirement;

/// All requirements, by RFC and section.
pub fn all() -> impl Iterator<Item = &'static Requirement> {
    messages::RFC_9110.iter().chain(syntax::RFC_9112).chain(errors::RFC_9209_AND_9931)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::all;

    fn sources(folder: &Path, text: &mut String) {
        for entry in folder.read_dir().unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn each_requirement_is_held_by_a_test_that_there_is() {
        let proxy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy");
        let mut text = String::new();
        ["src", "tests"].iter().for_each(|folder| sources(&proxy.join(folder), &mut text));
        let lost = all().map(|one| one.held_by).filter(|name| !text.contains(&format!("fn {name}()")));
        assert_eq!(lost.collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn sections_stand_in_their_order() {
        let number = |part: &str| part.split(['.', '-']).map(|one| one.parse().unwrap()).collect::<Vec<u32>>();
        let sections: Vec<Vec<u32>> = all().map(|one| number(one.section)).collect();
        assert!(sections.len() >= 35 && sections.is_sorted());
    }
}
