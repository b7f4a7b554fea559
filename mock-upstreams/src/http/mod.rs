//! What the doubles add to hyper: its server's settings, ready-made answers, bodies that are counted.

pub(crate) mod body;
pub(crate) mod counted;
pub(crate) mod server;
