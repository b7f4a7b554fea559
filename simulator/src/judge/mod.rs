//! This room judges a run: it compares the three witnesses, by the laws and by the scenario's expectations.

mod disturbance;
mod expectations;
mod history;
mod laws;
mod requests;
mod run;
mod violation;

pub use history::{History, id_of};
pub use laws::{LAWS, Law, check};
pub use requests::{ClientRequest, Pick, ProxyProcess, ProxyRequest};
pub use run::{RunReport, Verdict, run, run_on, run_with};
pub use violation::Violation;
