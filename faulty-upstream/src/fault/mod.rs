//! The catalogue. One fault a file; README.md says how to add one.

mod before;
mod plain;
mod reply;
mod tunnel;
mod whole;

use std::time::Duration;

use mock_upstreams::{Asked, Form};

use crate::draw::Draw;
use crate::listener::Phase;
use crate::param::{Param, Values};
use crate::reply::Reply;
use crate::shape::Effects;

/// One thing that an upstream can do wrong.
#[derive(Clone, Copy)]
pub struct Fault {
    /// What plans, journals and the matrix call it.
    pub name: &'static str,
    /// Where it belongs.
    pub family: Family,
    /// What happens, in one sentence.
    pub summary: &'static str,
    /// Its settings.
    pub params: &'static [Param],
    /// What it does.
    pub act: Act,
}

/// When in the life of a connection a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Before the head of a request is read.
    Before,
    /// In the reply.
    Reply,
    /// In the tunnel.
    Tunnel,
    /// In replies to forwarded requests.
    Plain,
    /// The upstream as a whole.
    Whole,
}

impl Family {
    /// As the catalogue prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Before => "before the head",
            Family::Reply => "in the reply",
            Family::Tunnel => "in the tunnel",
            Family::Plain => "in plain HTTP replies",
            Family::Whole => "of the whole upstream",
        }
    }
}

/// What a fault does, by what it does it to. Of connections and replies the first fault of a plan that strikes decides;
/// delays add up and tunnel effects combine.
#[derive(Clone, Copy)]
pub enum Act {
    /// To the listener; the time runs from when the entry came into force.
    Listener(fn(&Values, Duration) -> Phase),
    /// To a connection, before a byte is read.
    Connection(fn(&Values, &mut Draw) -> Reply),
    /// To the time before the reply.
    Delay(fn(&Values, &Moment, &mut Draw) -> Duration),
    /// To the reply.
    Reply(Applies, fn(&Values, &Asked, &mut Draw) -> Reply),
    /// To the bytes of a tunnel.
    Tunnel(fn(&Values, &mut Draw, &mut Effects)),
}

/// Where in the upstream's life a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time since the entry came into force.
    pub since: Duration,
    /// The connection's number.
    pub connection: u64,
}

/// Which requests a reply can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// Every one.
    Any,
    /// CONNECT.
    Connect,
    /// Forwarded ones.
    Plain,
    /// Forwarded ones that are not the first of their connection.
    PlainReused,
}

impl Applies {
    /// Whether it can answer `asked`.
    pub fn to(self, asked: &Asked) -> bool {
        match self {
            Applies::Any => true,
            Applies::Connect => asked.form == Form::Connect,
            Applies::Plain => asked.form == Form::Absolute,
            Applies::PlainReused => asked.form == Form::Absolute && asked.request > 1,
        }
    }
}

impl Fault {
    /// What it needs of the world besides a byte stream: `listener`, `reset`, or nothing.
    pub fn needs(&self) -> &'static [&'static str] {
        match self.act {
            Act::Listener(_) => &["listener"],
            _ if self.resets() => &["reset"],
            _ => &[],
        }
    }

    /// Whether, by default, it ends in a reset.
    fn resets(&self) -> bool {
        self.name.ends_with("reset")
    }

    /// Which requests or connections it strikes, in words.
    pub fn strikes(&self) -> &'static str {
        match self.act {
            Act::Listener(_) => "the listener",
            Act::Connection(_) => "connections",
            Act::Delay(_) | Act::Reply(Applies::Any, _) => "requests",
            Act::Reply(Applies::Connect, _) => "CONNECT requests",
            Act::Reply(Applies::Plain, _) => "plain HTTP requests",
            Act::Reply(Applies::PlainReused, _) => "plain HTTP requests on a reused connection",
            Act::Tunnel(_) => "tunnels",
        }
    }

    /// The fault of that name.
    pub fn named(name: &str) -> Option<&'static Fault> {
        CATALOGUE.iter().find(|fault| fault.name == name)
    }
}

/// Every fault, in the order of the families. A fault that is not here does not exist.
pub const CATALOGUE: &[Fault] = &[
    before::refuse::FAULT,
    before::accept_close::FAULT,
    before::accept_reset::FAULT,
    before::accept_silent::FAULT,
    before::backlog_full::FAULT,
    before::accept_late::FAULT,
    reply::status::STATUS_400,
    reply::status::STATUS_401,
    reply::status::STATUS_403,
    reply::status::STATUS_404,
    reply::status::STATUS_408,
    reply::status::STATUS_407,
    reply::status::STATUS_407_BARE,
    reply::status::STATUS_429,
    reply::status::STATUS_500,
    reply::status::STATUS_502,
    reply::status::STATUS_503,
    reply::status::STATUS_504,
    reply::status::STATUS_204,
    reply::status::REDIRECT,
    reply::status::STATUS,
    reply::informational::FAULT,
    reply::length_on_200::FAULT,
    reply::chunked_on_200::FAULT,
    reply::http_10::FAULT,
    reply::no_reason::FAULT,
    reply::drip::FAULT,
    reply::cut_head::FAULT,
    reply::endless_head::FAULT,
    reply::unfinished_head::FAULT,
    reply::large_line::FAULT,
    reply::many_lines::FAULT,
    reply::bare_lf::FAULT,
    reply::folded_line::FAULT,
    reply::nul::FAULT,
    reply::negative_number::FAULT,
    reply::absurd_number::FAULT,
    reply::absurd_length::FAULT,
    reply::http_99::FAULT,
    reply::garbage::FAULT,
    reply::tls_bytes::FAULT,
    reply::http2_preface::FAULT,
    reply::early_200_reset::FAULT,
    reply::stalled_tunnel::FAULT,
    reply::glued::FAULT,
    reply::reply_first::FAULT,
    reply::two_replies::FAULT,
    reply::reply_close::FAULT,
    reply::reply_reset::FAULT,
    reply::reply_never::FAULT,
    reply::reply_late::FAULT,
    tunnel::latency::FAULT,
    tunnel::bandwidth::FAULT,
    tunnel::slice::FAULT,
    tunnel::stall::FAULT,
    tunnel::cut::FAULT,
    tunnel::tunnel_reset::FAULT,
    tunnel::timed_cut::FAULT,
    tunnel::timed_reset::FAULT,
    tunnel::half_close::FAULT,
    tunnel::close_late::FAULT,
    tunnel::corrupt::FAULT,
    tunnel::duplicate::FAULT,
    tunnel::never_read::FAULT,
    plain::length_too_long::FAULT,
    plain::length_too_short::FAULT,
    plain::broken_chunk::FAULT,
    plain::cut_body::FAULT,
    plain::reset_body::FAULT,
    plain::endless_body::FAULT,
    plain::reused_close::FAULT,
    plain::keep_alive_lie::FAULT,
    plain::trailers::FAULT,
    plain::large_field::FAULT,
    whole::flap::FAULT,
    whole::die::FAULT,
    whole::brown_out::FAULT,
    whole::leak::FAULT,
    whole::blame_shifting::FAULT,
];
