//! What load to put on: a pace, an end, and a mix of actions.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::action::Action;
use crate::draw::Draw;
use crate::quantity;

/// What load to put on. Request number n of it is a pure function of the workload and n.
#[derive(Clone, Debug)]
pub struct Workload {
    /// All randomness comes from it.
    pub seed: u64,
    /// In front of each request's number in its id: letters and digits, so that it can stand in a host name.
    pub id_prefix: String,
    /// When requests begin.
    pub pace: Pace,
    /// When no further ones begin.
    pub stop: Stop,
    /// What they do.
    pub mix: Mix,
    /// As whom; one of them is drawn for each request. None: without credentials.
    pub users: Vec<User>,
    /// The longest a request may take; of a held tunnel, each block.
    pub timeout: Duration,
    /// At most so many requests at once; a request that is due waits, and its latency counts from when it was due.
    pub max_in_flight: usize,
    /// Where a response says through which upstream it came.
    pub exit_from: Option<ExitFrom>,
}

/// When requests begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At their own times, whatever became of those before: an open loop.
    Open {
        /// One after the other.
        stages: Vec<Stage>,
        /// Independent arrivals (Poisson) instead of even ones.
        poisson: bool,
    },
    /// Each client sends the next when the last is over: a closed loop.
    Closed {
        /// Clients.
        clients: usize,
        /// The clients begin spread over this time.
        ramp_up: Duration,
        /// Between one request and the next.
        think: Duration,
    },
}

/// A stretch of an open loop in which the rate goes evenly from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// At its beginning: thousandths of requests in a second.
    pub from: u64,
    /// At its end.
    pub to: u64,
    /// How long.
    pub span: Duration,
}

/// Stages as written on a command line: `100x10s,100..500x30s` is a hundred a second for ten seconds, then a ramp.
///
/// # Errors
/// A sentence that says what was read and what was expected.
pub fn stages(text: &str) -> Result<Vec<Stage>, String> {
    let stage = |part: &str| {
        let (rates, span) = part.trim().split_once('x').ok_or_else(|| format!("`{part}`: expected RATExTIME"))?;
        let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
        Ok(Stage { from: quantity::rate(from)?, to: quantity::rate(to)?, span: quantity::duration(span)? })
    };
    text.split(',').map(stage).collect()
}

/// When no further requests begin: whatever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// After that many requests.
    pub requests: Option<u64>,
    /// After that time.
    pub after: Option<Duration>,
}

/// Actions by share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    entries: Vec<(u32, Action)>,
    sum: u64,
}

impl Mix {
    /// From actions and their shares.
    ///
    /// # Errors
    /// There is no action with a share above 0.
    pub fn new(entries: Vec<(u32, Action)>) -> Result<Self, String> {
        let sum = entries.iter().map(|(share, _)| u64::from(*share)).sum();
        if sum == 0 {
            return Err("no action has a share above 0".to_owned());
        }
        Ok(Mix { entries, sum })
    }

    /// All actions, in the order given.
    pub fn actions(&self) -> impl Iterator<Item = (u32, &Action)> {
        self.entries.iter().map(|(share, action)| (*share, action))
    }

    /// The action at `place` in the order given.
    pub fn action(&self, place: usize) -> &Action {
        &self.entries[place].1
    }

    fn draw(&self, draw: &mut Draw) -> usize {
        let mut left = draw.below(self.sum);
        let within = |(share, _): &(u32, Action)| {
            let share = u64::from(*share);
            if left < share {
                return true;
            }
            left -= share;
            false
        };
        self.entries.iter().position(within).unwrap_or(self.entries.len() - 1)
    }
}

impl From<Action> for Mix {
    fn from(action: Action) -> Self {
        Mix { entries: vec![(1, action)], sum: 1 }
    }
}

/// Name and password for the proxy. Neither `Debug` nor anything else shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    name: String,
    basic: String,
}

impl User {
    /// From `name:password`.
    ///
    /// # Errors
    /// There is no colon, or a line's end is in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, _) = text.split_once(':').ok_or("a user is written NAME:PASSWORD")?;
        if text.contains(['\r', '\n']) {
            return Err(format!("user `{}` has a line's end in it", name.escape_debug()));
        }
        Ok(User { name: name.to_owned(), basic: STANDARD.encode(text) })
    }

    /// Who.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The token of `Proxy-Authorization: Basic` (RFC 7617).
    pub fn basic(&self) -> &str {
        &self.basic
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({}:***)", self.name)
    }
}

/// Where a response says through which upstream it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitFrom {
    /// A header's value.
    Header(String),
    /// A text field of the JSON object in the body.
    Json(String),
    /// The whole body, trimmed.
    Body,
}

impl ExitFrom {
    /// From `header:NAME`, `json:FIELD` or `body`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("header", name)) if !name.is_empty() => Ok(ExitFrom::Header(name.to_owned())),
            Some(("json", field)) if !field.is_empty() => Ok(ExitFrom::Json(field.to_owned())),
            None if text == "body" => Ok(ExitFrom::Body),
            _ => Err(format!("`{text}`: expected header:NAME, json:FIELD or body")),
        }
    }
}

/// One request, before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number in the run, from 0.
    pub index: u64,
    /// Unique in the run; the left-most label of its target where the target has room for it.
    pub id: String,
    /// Which of the mix's actions.
    pub action: usize,
    /// Which of the users.
    pub user: Option<usize>,
    /// `host:port`.
    pub target: String,
}

impl Workload {
    /// A workload with one action and everything else at its plainest.
    pub fn new(seed: u64, pace: Pace, stop: Stop, mix: impl Into<Mix>) -> Self {
        Workload {
            seed,
            id_prefix: "r".to_owned(),
            pace,
            stop,
            mix: mix.into(),
            users: Vec::new(),
            timeout: Duration::from_secs(30),
            max_in_flight: 4096,
            exit_from: None,
        }
    }

    /// Request number `index`.
    pub fn request(&self, index: u64) -> Request {
        let mut draw = Draw::new(self.seed, index);
        let action = self.mix.draw(&mut draw);
        let user = (!self.users.is_empty()).then(|| draw.below(self.users.len() as u64) as usize);
        let id = format!("{}{index:x}", self.id_prefix);
        Request { index, action, user, target: self.mix.action(action).target_for(&id), id }
    }

    /// The user of `request`.
    pub fn user(&self, request: &Request) -> Option<&User> {
        request.user.map(|place| &self.users[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(mix: Mix) -> Workload {
        let pace = Pace::Closed { clients: 1, ramp_up: Duration::ZERO, think: Duration::ZERO };
        Workload::new(5, pace, Stop::default(), mix)
    }

    fn action(text: &str) -> Action {
        text.parse().unwrap()
    }

    #[test]
    fn the_mix_is_drawn_by_share() {
        let mix = Mix::new(vec![(3, action("connect")), (0, action("http")), (1, action("echo"))]).unwrap();
        let workload = workload(mix);
        let mut seen = [0u32; 3];
        (0..4000).for_each(|index| seen[workload.request(index).action] += 1);
        assert!((2900..3100).contains(&seen[0]) && seen[1] == 0, "{seen:?}");
        assert!(Mix::new(vec![(0, action("connect"))]).is_err());
    }

    #[test]
    fn a_request_is_a_function_of_its_number() {
        let mut workload = workload(action("echo").into());
        workload.users = vec![User::parse("a:1").unwrap(), User::parse("b:2").unwrap()];
        assert_eq!(workload.request(77), workload.request(77));
        assert_eq!(workload.request(255).target, "rff.echo.mock:80");
        let users: Vec<_> = (0..40).map(|index| workload.request(index).user).collect();
        assert!(users.contains(&Some(0)) && users.contains(&Some(1)));
    }

    #[test]
    fn a_password_is_never_shown() {
        let user = User::parse("ann:hush:hush").unwrap();
        assert_eq!(format!("{user:?}"), "User(ann:***)");
        assert_eq!((user.name(), user.basic()), ("ann", "YW5uOmh1c2g6aHVzaA=="));
    }
}
