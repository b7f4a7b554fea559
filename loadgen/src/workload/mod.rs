//! Describes the load on a proxy: its pace, its end, and a mix of actions.

mod abuse;
mod action;
mod action_share;
mod arrivals;
mod draw;
mod exit_from;
mod http_exchange;
mod login;
mod mix;
mod options;
mod pace;
mod user;

use std::time::Duration;

pub use abuse::Abuse;
pub use action::{Action, ActionKind, ConnectionUse, Throttle};
pub use action_share::ActionShare;
pub(crate) use arrivals::Arrivals;
pub use draw::Draw;
pub use exit_from::ExitFrom;
pub use http_exchange::{HttpExchange, HttpVersion};
pub use login::Login;
pub use mix::Mix;
pub use pace::{Pace, Stage, Stages, Stop};
pub use user::User;

/// What load to put on a proxy. Request number n is a pure function of the workload and n.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The seed of all that is drawn at random.
    pub seed: u64,
    /// What stands in front of each request's number in its id: letters and digits, so that it can stand in a host name.
    pub id_prefix: String,
    /// When requests begin.
    pub pace: Pace,
    /// When no further requests begin.
    pub stop: Stop,
    /// What requests do.
    pub mix: Mix,
    /// The users; one of them is drawn for each request. Where it is empty, requests have no credentials.
    pub users: Vec<User>,
    /// The longest that a request may take; in a held tunnel, the longest that each block may take.
    pub timeout: Duration,
    /// The most requests at once. A request above it waits, and its latency still counts from when it was due.
    pub max_in_flight: usize,
    /// Where a response says through which upstream it came; none: nowhere.
    pub exit_from: Option<ExitFrom>,
}

/// One request, before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number in the run, from 0.
    pub index: u64,
    /// Unique in the run; the left-most label of its target where the target has room for it.
    pub id: String,
    /// The place of its action in the mix.
    pub action: usize,
    /// The place of its user in the workload's list.
    pub user: Option<usize>,
    /// The target, as `host:port`.
    pub target: String,
}

impl Workload {
    /// Makes a workload without users, with a time-out of 30 s and at most 4096 requests at once.
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

    /// Makes request number `index`.
    pub fn request(&self, index: u64) -> Request {
        let mut draw = Draw::new(self.seed, index);
        let action = self.mix.draw(&mut draw);
        let user = (!self.users.is_empty()).then(|| draw.below(self.users.len() as u64) as usize);
        let id = format!("{}{index:x}", self.id_prefix);
        Request { index, action, user, target: self.mix.action(action).target_for(&id), id }
    }

    /// The user of `request`, if it has one.
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
        let mix = Mix::new(["3*connect", "0*http", "echo"].map(|text| text.parse().unwrap()).into()).unwrap();
        let workload = workload(mix);
        let mut seen = [0u32; 3];
        (0..4000).for_each(|index| seen[workload.request(index).action] += 1);
        assert!((2900..3100).contains(&seen[0]) && seen[1] == 0, "{seen:?}");
        assert!(Mix::new(vec!["0*connect".parse().unwrap()]).is_err());
    }

    #[test]
    fn a_request_is_a_function_of_its_number() {
        let mut workload = workload(action("echo").into());
        workload.users = vec!["a:1".parse().unwrap(), "b:2".parse().unwrap()];
        assert_eq!(workload.request(77), workload.request(77));
        assert_eq!(workload.request(255).target, "rff.echo.mock:80");
        let users: Vec<_> = (0..40).map(|index| workload.request(index).user).collect();
        assert!(users.contains(&Some(0)) && users.contains(&Some(1)));
    }

    #[test]
    fn a_password_is_never_shown() {
        let user: User = "ann:hush:hush".parse().unwrap();
        assert_eq!(format!("{user:?}"), "User(ann:***)");
        assert_eq!((user.name(), user.basic()), ("ann", "YW5uOmh1c2g6aHVzaA=="));
    }
}
