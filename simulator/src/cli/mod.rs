//! The command line: its arguments, and what each command does.

pub(crate) mod arguments;
pub(crate) mod engines;
pub(crate) mod failure;
pub(crate) mod files;
pub(crate) mod play;
pub(crate) mod search;
