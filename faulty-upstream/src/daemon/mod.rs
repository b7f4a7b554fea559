//! What only a process on a machine needs: its arguments, and the control of another process.

pub(crate) mod cli;
pub(crate) mod ctl;
