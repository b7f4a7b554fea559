//! Every fault there is: one file each, in folders by when it strikes and what it does.

mod before;
mod handshake;
mod list;
mod plain;
mod reply;
mod text;
mod tunnel;
mod whole;

pub use list::CATALOGUE;
pub use text::{json, text};
