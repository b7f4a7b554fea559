//! What is shown of proxies, ours and others: the matrix of faults, and what the RFCs demand.

mod conformance;
mod matrix;

pub use conformance::{conformance, conformance_junit};
pub use matrix::{matrix_cell, matrix_page};
