//! Tests that README.md names every law with its kind, and every mutation with the stories that notice it.

use std::collections::BTreeMap;
use std::path::Path;

use simulator::explore::matrix;
use simulator::incident::Fidelity;
use simulator::judge::LAWS;
use simulator::report::matrix_page;
use simulator::scenario;

#[test]
fn the_readme_has_a_row_for_each_mutation_with_the_stories_that_name_it() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &Path, ending: &str| {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = files.filter_map(|file| Some(file.strip_suffix(ending)?.to_owned())).collect();
        names.sort_unstable();
        names
    };
    let mut wanted: BTreeMap<String, Vec<String>> =
        names(&here.join("mutations"), ".patch").into_iter().map(|name| (name, Vec::new())).collect();
    let stories = here.join("../scenarios");
    for story in names(&stories, ".json") {
        for name in scenario::load(&stories.join(&story).with_extension("json")).unwrap().catches {
            wanted.get_mut(&name).expect("a story names mutations that there are").push(story.clone());
        }
    }
    let rows =
        include_str!("../README.md").lines().skip_while(|line| *line != "| Mutation | A story that notices |").skip(2);
    let rows = rows.map_while(|row| row.strip_prefix("| `")?.strip_suffix(" |")?.split_once("`: "));
    let stories_of = |cells: &str| cells.rsplit_once(" | ").unwrap().1.split(", ").map(str::to_owned).collect();
    let rows: BTreeMap<String, Vec<String>> = rows.map(|(name, cells)| (name.to_owned(), stories_of(cells))).collect();
    assert_eq!(rows, wanted);
}

#[test]
fn the_readme_has_a_row_for_each_law() {
    let rows = include_str!("../README.md").lines().skip_while(|line| *line != "| Name | Kind | Law |").skip(2);
    let named =
        rows.map_while(|row| Some(row.strip_prefix("| ")?.split(" | ").take(2).collect::<Vec<_>>().join(" | ")));
    let laws = LAWS.iter().map(|law| format!("{} | {}", law.name, law.kind().as_str()));
    assert_eq!(named.collect::<Vec<_>>(), laws.collect::<Vec<_>>());
}

#[test]
fn the_comparison_is_the_page_of_its_results() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let results = matrix::read(&here.join("comparison.json")).unwrap();
    let page = std::fs::read_to_string(here.join("COMPARISON.md")).unwrap();
    assert!(
        page == matrix_page(&results),
        "simulator matrix --from simulator/comparison.json --page simulator/COMPARISON.md"
    );
}

/// `make test-ten-minutes` compares the whole line.
#[test]
fn the_ten_minutes_say_what_counts_as_the_same_in_a_replay() {
    let line = format!("figures differ ({})", Fidelity::bounds());
    assert!(include_str!("../README.md").contains(&line), "{line}");
}
