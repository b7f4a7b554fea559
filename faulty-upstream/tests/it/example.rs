//! Tests that the example runs.

#[path = "../../examples/in_my_test.rs"]
mod in_my_test;

/// The example itself asserts what its client gets and what the journal names.
#[test]
fn the_example_of_a_clients_test_runs() {
    in_my_test::main().unwrap();
}
