//! Mock upstreams on real sockets, on in-memory pipes under paused time, and as a process.

mod connect;
mod plain;
mod process;
mod support;
mod targets;
