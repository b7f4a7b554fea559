//! Which fault strikes when and whom.

mod decide;
mod entries;
mod entry;
mod parse;
mod when;

pub(crate) use decide::Chosen;
pub use entries::Plan;
pub use entry::Entry;
pub use parse::{Problem, parse, parse_entry};
pub use when::{Pattern, When, Whom};
