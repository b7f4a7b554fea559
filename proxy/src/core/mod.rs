//! Makes the decisions, as plain values: which upstream is next, who is ejected, whose fault it was, what is counted.
//!
//! Nothing here knows a socket, a clock, a task or a logger: `now` and random numbers come in as arguments, so
//! that every law can be a property test and every run a replay (ARCHITECTURE.md, "The pure core").
//!
//! | Question | Answered by |
//! |---|---|
//! | Whose turn is it? | [`schedule`], through the [`balancer::Epoch`] in force |
//! | How far are the picks from the weights? | [`balancer::lag`] |
//! | Who is fit to be picked? | [`health`], one state machine an upstream |
//! | Who comes next when that one failed? | [`balancer`] |
//! | What went wrong, and who could have written it? | [`failure`] |
//! | Whose fault was it? | [`attribution`] |
//! | How long may the next attempt take, and may there be one? | [`failover`] |
//! | Is it our own network? | [`network`] |
//! | What can an upstream in doubt be asked for? | [`opened`] |
//! | What happened so far, and of late? | [`stats`], over a [`window`] |

pub mod attribution;
pub mod balancer;
pub mod failover;
pub mod failure;
pub mod health;
pub mod network;
pub mod opened;
pub mod schedule;
#[cfg(test)]
mod search;
pub mod stats;
pub mod time;
pub mod upstream;
pub mod window;
