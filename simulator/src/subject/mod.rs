//! This room describes the proxy under test. It is netdrift or another program: a folder says how to run it, how to configure it, and
//! what it can't do. CONTRIBUTING.md says how to add one.

mod feature;
mod file;
mod folder;
mod found;
mod settings;
mod wants;

pub use feature::Feature;
pub use file::{Order, SubjectFile, UnixSignal};
pub use folder::{NETDRIFT, Subject};
pub use found::{named, shipped};
pub use settings::{Place, settings};
