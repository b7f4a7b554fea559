//! Runs the examples. The first one checks itself what it shows.

use std::fs;

#[path = "../examples/embed.rs"]
mod embed;
#[path = "../examples/manual.rs"]
#[expect(dead_code, reason = "its main reads the arguments, which are the test runner's here")]
mod manual;

#[test]
fn the_example_embeds_a_proxy() {
    embed::main().expect("the example runs");
}

#[test]
fn every_command_has_a_manual_page_and_every_shell_its_completions() {
    let folder = tempfile::tempdir().unwrap();
    manual::write(folder.path(), "netdrift").unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(read("man/netdrift.1").contains("take\\-over"));
    for command in ["healthcheck", "reload", "upgrade", "hash-password"] {
        assert!(read(&format!("man/netdrift-{command}.1")).contains("SYNOPSIS"), "{command}");
    }
    for name in ["netdrift.bash", "_netdrift", "netdrift.fish"] {
        assert!(read(&format!("completions/{name}")).contains("take-over"), "{name}");
    }
}
