//! Tests that the example runs.

#[path = "../../examples/journal_of_a_pipe.rs"]
mod journal_of_a_pipe;

/// The example itself asserts what its client gets and what the journal says of it.
#[test]
fn the_example_of_a_pipe_with_its_journal_runs() {
    journal_of_a_pipe::main().unwrap();
}
