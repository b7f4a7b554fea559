//! Runs the examples, and checks what they show.

#[path = "../examples/in_memory.rs"]
mod in_memory;

use std::time::Duration;

#[test]
fn the_example_in_memory_runs() {
    in_memory::main();
}

#[tokio::test(start_paused = true)]
async fn every_request_of_the_example_in_memory_goes_well_at_the_proxys_pace() {
    let tally = tokio::task::LocalSet::new().run_until(in_memory::load()).await;
    assert_eq!((tally.began, tally.ok, tally.errors()), (1000, 1000, 0));
    assert_eq!((tally.up, tally.down), (2_048_000, 2_048_000));
    let near = |span: Duration| (Duration::from_millis(20)..Duration::from_millis(21)).contains(&span);
    assert!(near(tally.reply.percentile(0.0)) && near(tally.reply.max()), "{:?}", tally.reply.max());
}
