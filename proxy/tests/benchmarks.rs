//! Tests that the tables in the pages are those of the runs that are kept.

#[path = "../benches/peers/table.rs"]
mod table;

use std::fs;
use std::path::Path;

#[test]
fn the_tables_beside_other_proxies_are_made_from_the_kept_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let run: table::Run = serde_json::from_str(&read("proxy/benches/peers/run.json")).unwrap();
    for name in ["BENCHMARKS.md", "README.md"] {
        let page = read(name);
        let right = table::replaced(&page, &run).unwrap();
        assert!(page == right, "scripts/bench-peers.sh --table proxy/benches/peers/run.json {name}");
    }
}
