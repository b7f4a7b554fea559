//! A client of a scenario is a workload of loadgen, in the words of loadgen's command line.

use std::num::NonZeroU32;
use std::time::Duration;

use loadgen::{ActionShare, Mix, Pace, Stage, Stages, Stop, User, Workload};
use proxy::config::text::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::host::PROXY;
use super::values::left_out::is_default;
use super::values::rate::Rate;
use super::values::written::Written;

/// A client
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The name of its host.
    pub name: String,
    /// The host of the proxy that it uses. Left out: `proxy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// Which listener of that proxy it comes to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub entrance: Entrance,
    /// What its requests do: one of loadgen's actions, or several of them with their shares.
    #[serde(rename = "do")]
    pub does: Actions,
    /// Open loop: how many requests begin in a second, whether or not earlier ones have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Open loop in stages: "100x10s,100..500x30s".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Written<Stages>>,
    /// Open loop: when each request begins, counted from `from`. None may stand before an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrivals: Vec<Span>,
    /// Open loop: independent arrivals instead of even ones.
    #[serde(default, skip_serializing_if = "is_default")]
    pub poisson: bool,
    /// Open loop: how many requests may be open at once. The others wait, and their latency includes the wait. Left out: 4096.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<NonZeroU32>,
    /// Closed loop: how many clients of this kind there are. Each makes one request at a time. Left out: one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<NonZeroU32>,
    /// Closed loop: the pause of each client between two requests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub think: Span,
    /// Closed loop: the time over which the starts of the clients are spread.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ramp_up: Span,
    /// How many requests are made in all. Left out: as many as begin before `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// When the first request begins.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from: Span,
    /// When the last request may begin. Left out: the scenario's duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
    /// "name:password" for the proxy; one of them is drawn for each request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<Written<User>>,
    /// How long a request may take. In a held tunnel, how long each block may take.
    #[serde(default = "half_a_minute", skip_serializing_if = "is_half_a_minute")]
    pub timeout: Span,
}

/// A listener of the proxy
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Entrance {
    /// That for clients, at `server.listen_address`.
    #[default]
    Clients,
    /// That of the proxy's own pages, at `admin.listen_address`.
    Admin,
}

/// What requests do
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Actions {
    /// All requests do the same.
    One(Box<Written<ActionShare>>),
    /// One of these is drawn for each request, by their shares.
    Several(Vec<Written<ActionShare>>),
}

impl Client {
    /// The host of the proxy that it uses.
    pub fn proxy(&self) -> &str {
        self.through.as_deref().unwrap_or(PROXY)
    }

    /// Its actions with their shares, in the order given.
    pub fn actions(&self) -> impl Iterator<Item = &Written<ActionShare>> {
        match &self.does {
            Actions::One(one) => std::slice::from_ref(&**one),
            Actions::Several(several) => several.as_slice(),
        }
        .iter()
    }

    /// What its requests do, as loadgen wants it.
    ///
    /// # Errors
    /// No action has a share above 0.
    pub fn mix(&self) -> Result<Mix, String> {
        Mix::new(self.actions().map(|one| one.value().clone()).collect())
    }

    /// Whether it is an open loop: requests begin on time, whether or not earlier ones have ended.
    pub fn is_open_loop(&self) -> bool {
        self.rate.is_some() || self.stages.is_some() || !self.arrivals.is_empty()
    }

    /// Its load, as loadgen wants it, for `span` at most.
    pub fn workload(&self, seed: u64, id_prefix: String, span: Duration) -> Workload {
        let poisson = self.poisson;
        let count = |number: NonZeroU32| usize::try_from(number.get()).unwrap_or(usize::MAX);
        let pace = match (&self.stages, self.rate) {
            (Some(stages), _) => Pace::Open { stages: stages.value().0.clone(), poisson },
            (None, Some(rate)) => {
                let rate = rate.thousandths();
                Pace::Open { stages: vec![Stage { from: rate, to: rate, span }], poisson }
            }
            (None, None) if !self.arrivals.is_empty() => {
                Pace::Listed(self.arrivals.iter().map(|arrival| arrival.get()).collect())
            }
            (None, None) => Pace::Closed {
                clients: self.clients.map_or(1, count),
                ramp_up: self.ramp_up.get(),
                think: self.think.get(),
            },
        };
        let stop = Stop { requests: self.requests, after: Some(span) };
        let mix = self.mix().expect("the shares were checked with the scenario");
        let mut workload = Workload::new(seed, pace, stop, mix);
        workload.id_prefix = id_prefix;
        workload.users = self.users.iter().map(|user| user.value().clone()).collect();
        workload.timeout = self.timeout.get();
        if let Some(most) = self.max_in_flight {
            workload.max_in_flight = count(most);
        }
        workload
    }
}

const fn half_a_minute() -> Span {
    Span::from_millis(30_000)
}

fn is_half_a_minute(span: &Span) -> bool {
    *span == half_a_minute()
}
