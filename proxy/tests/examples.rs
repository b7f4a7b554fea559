//! Runs the example, which checks itself what it shows.

#[path = "../examples/embed.rs"]
mod embed;

#[test]
fn the_example_embeds_a_proxy() {
    embed::main().expect("the example runs");
}
