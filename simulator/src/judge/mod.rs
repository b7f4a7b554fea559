//! This room judges a run: it compares the three witnesses, by the laws and by the scenario's expectations.

mod by_hand;
mod checked;
mod excuse;
mod expectations;
mod history;
mod laws;
mod part;
mod requests;
mod run;
mod skipped;
mod violation;
mod witnesses;

pub use checked::{Case, Checked, Kind, LawCounts, LawTotals, MOST_EXCUSED};
pub use excuse::Excuse;
pub use history::{History, id_of};
pub use laws::{Check, LAWS, Law, check};
pub use requests::{Pick, ProxyProcess, ProxyRequest};
pub use run::{RunReport, Verdict, run, run_on, run_subject, run_with};
pub use skipped::Skipped;
pub use violation::Violation;
pub use witnesses::{
    ClientRequest, Configurations, Connection, Convergence, Crowd, Disturbances, Harm, HostJournal, JournalEntry,
    Journals, RequestEnd, Witnesses, harm_of,
};
