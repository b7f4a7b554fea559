//! What a fault is: its name, its settings, and a function that computes what it does.

use std::fmt;
use std::time::Duration;

use mock_upstreams::{Asked, Form, Target};

use crate::draw::Draw;
use crate::effect::listener::Phase;
use crate::effect::reply::{Reply, Then};
use crate::effect::tunnel::Effects;
use crate::param::{Param, Values};

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

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
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

    /// Whether it ends in a reset, found by playing it.
    fn resets(&self) -> bool {
        let with = Values::defaults(self.params);
        let mut draw = Draw::new(0, "", self.name, 1, 1);
        match self.act {
            Act::Listener(_) | Act::Delay(_) => false,
            Act::Connection(act) => act(&with, &mut draw).then == Then::Reset,
            Act::Reply(_, act) => act(&with, &any_request(), &mut draw).then == Then::Reset,
            Act::Tunnel(act) => {
                let mut effects = Effects::default();
                act(&with, &mut draw, &mut effects);
                effects.reset()
            }
        }
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
}

fn any_request() -> Asked {
    Asked {
        connection: 1,
        request: 1,
        form: Form::Connect,
        method: "CONNECT".to_owned(),
        target: Target { host: "echo.mock".to_owned(), port: 80 },
        user: None,
        admitted: true,
        websocket_key: None,
    }
}
