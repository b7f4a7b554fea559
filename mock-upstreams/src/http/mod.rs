//! Adds to hyper what the mocks need: settings of its server, answers that are ready at once, bodies that are counted.

pub(crate) mod body;
pub(crate) mod counted;
pub(crate) mod server;
