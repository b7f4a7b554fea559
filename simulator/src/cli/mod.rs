//! The command line has arguments and commands.

pub(crate) mod arguments;
pub(crate) mod conformance;
pub(crate) mod engines;
pub(crate) mod failure;
pub(crate) mod files;
pub(crate) mod incident;
pub(crate) mod matrix;
pub(crate) mod pipeline;
pub(crate) mod play;
pub(crate) mod results;
pub(crate) mod search;
