//! Defines what a fault is: its name, its settings, and a function that computes what it does.

use std::fmt;
use std::time::Duration;

use mock_upstreams::{Form, ProxyRequest, Target};

use crate::draw::Draw;
use crate::effect::handshake::Handshake;
use crate::effect::listener::ListenerPhase;
use crate::effect::reply::{Reply, Then};
use crate::effect::tunnel::TunnelEffects;
use crate::setting::{Setting, SettingValues};

/// One way in which an upstream can go wrong.
#[derive(Clone, Copy)]
pub struct Fault {
    /// Its name in plans, journals and the catalogue.
    pub name: &'static str,
    /// The part of the catalogue that it stands in.
    pub family: Family,
    /// What happens, in one sentence.
    pub summary: &'static str,
    /// The settings that a plan can give it.
    pub settings: &'static [Setting],
    /// The function that computes what it does.
    pub(crate) action: Action,
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
    /// In the TLS handshake.
    Handshake,
    /// In the reply.
    Reply,
    /// In the tunnel.
    Tunnel,
    /// In the reply to a request for plain HTTP.
    Plain,
    /// At any time: the upstream as a whole is at fault.
    Whole,
}

impl Family {
    /// The heading of this family in the catalogue.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Before => "before the head",
            Family::Handshake => "in the TLS handshake",
            Family::Reply => "in the reply",
            Family::Tunnel => "in the tunnel",
            Family::Plain => "in plain HTTP replies",
            Family::Whole => "of the whole upstream",
        }
    }
}

/// The function of a fault, by what it changes.
///
/// Where several faults of a plan change a connection or a reply, the first one that strikes decides. Delays add up, and
/// the effects on a tunnel combine.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// Changes the listener. The duration is the time since the entry came into force.
    Listener(fn(&SettingValues, Duration) -> ListenerPhase),
    /// Answers a connection before a byte of it is read.
    Connection(fn(&SettingValues, &mut Draw) -> Reply),
    /// Changes the TLS handshake of a connection, where the upstream speaks TLS.
    Handshake(fn(&SettingValues, &mut Draw) -> Handshake),
    /// Delays the reply.
    Delay(fn(&SettingValues, &Arrival, &mut Draw) -> Duration),
    /// Replaces the reply.
    Reply(Requests, fn(&SettingValues, &ProxyRequest, &mut Draw) -> Reply),
    /// Changes the bytes of a tunnel.
    Tunnel(fn(&SettingValues, &mut Draw, &mut TunnelEffects)),
}

/// When a request arrives in the life of its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// The time since the plan entry came into force.
    pub(crate) since_in_force: Duration,
    /// The number of the request's connection, from 1.
    pub(crate) connection: u64,
}

/// The requests that a fault can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    /// Every request.
    Any,
    /// Requests for a tunnel.
    Connect,
    /// Requests for plain HTTP.
    Plain,
    /// Requests for plain HTTP that are not the first of their connection.
    PlainReused,
}

impl Requests {
    /// Whether `request` is one of these.
    pub(crate) fn include(self, request: &ProxyRequest) -> bool {
        match self {
            Requests::Any => true,
            Requests::Connect => request.form == Form::Connect,
            Requests::Plain => request.form == Form::Absolute,
            Requests::PlainReused => request.form == Form::Absolute && request.request > 1,
        }
    }
}

/// What a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strikes {
    /// The listener.
    Listener,
    /// Connections, before a byte of them is read.
    Connections,
    /// TLS handshakes, where the upstream speaks TLS.
    Handshakes,
    /// Requests of one kind.
    Requests(Requests),
    /// Tunnels behind CONNECT.
    Tunnels,
}

impl Strikes {
    /// What is struck, as the catalogue says it.
    pub const fn name(self) -> &'static str {
        match self {
            Strikes::Listener => "the listener",
            Strikes::Connections => "connections",
            Strikes::Handshakes => "TLS handshakes",
            Strikes::Requests(Requests::Any) => "requests",
            Strikes::Requests(Requests::Connect) => "CONNECT requests",
            Strikes::Requests(Requests::Plain) => "plain HTTP requests",
            Strikes::Requests(Requests::PlainReused) => "plain HTTP requests on a reused connection",
            Strikes::Tunnels => "tunnels",
        }
    }
}

impl Fault {
    /// What the fault needs besides a byte stream: `listener` (a [`Listener`](crate::Listener) that can be closed and
    /// filled up), `reset` (a stream whose [`abort`](crate::Duplex::abort) resets it), or nothing.
    pub fn needs(&self) -> &'static [&'static str] {
        match self.action {
            Action::Listener(_) => &["listener"],
            _ if self.resets() => &["reset"],
            _ => &[],
        }
    }

    /// Whether the fault ends in a reset. This is found out by computing its effect once.
    fn resets(&self) -> bool {
        let with = SettingValues::defaults(self.settings);
        let mut draw = Draw::new(0, "", self.name, 1, 1);
        match self.action {
            Action::Listener(_) | Action::Handshake(_) | Action::Delay(_) => false,
            Action::Connection(act) => act(&with, &mut draw).then == Then::Reset,
            Action::Reply(_, act) => act(&with, &any_request(), &mut draw).then == Then::Reset,
            Action::Tunnel(act) => {
                let mut effects = TunnelEffects::default();
                act(&with, &mut draw, &mut effects);
                effects.reset()
            }
        }
    }

    /// What the fault strikes.
    pub const fn strikes(&self) -> Strikes {
        match self.action {
            Action::Listener(_) => Strikes::Listener,
            Action::Connection(_) => Strikes::Connections,
            Action::Handshake(_) => Strikes::Handshakes,
            Action::Delay(_) => Strikes::Requests(Requests::Any),
            Action::Reply(requests, _) => Strikes::Requests(requests),
            Action::Tunnel(_) => Strikes::Tunnels,
        }
    }
}

fn any_request() -> ProxyRequest {
    ProxyRequest {
        connection: 1,
        request: 1,
        form: Form::Connect,
        method: "CONNECT".to_owned(),
        target: Target { host: "echo.mock".to_owned(), port: 80 },
        user: None,
        served_as: None,
        admitted: true,
        websocket_key: None,
    }
}
