//! Text → [`Scenario`]: every problem at once, each with its place and what to write instead.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;

use crate::configuration::ConfigFile;

use super::scale::scale;
use super::shape::{check, join, nearest};
use super::{Action, Client, PROXY, Scenario, schema};

/// Something that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON path; empty for the whole.
    pub path: String,
    /// What is wrong, and what to write.
    pub text: String,
}

impl Problem {
    pub(super) fn at(path: &str, text: String) -> Self {
        Problem { path: path.to_owned(), text }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.text) } else { write!(f, "{}: {}", self.path, self.text) }
    }
}

/// Reads the file at `path`.
///
/// # Errors
/// All that is wrong with it.
pub fn load(path: &Path) -> Result<Scenario, Vec<Problem>> {
    load_scaled(path, 1.0)
}

/// Reads the file at `path`, with every length of time multiplied by `factor`.
///
/// # Errors
/// All that is wrong with it; what can't be scaled by that.
pub fn load_scaled(path: &Path, factor: f64) -> Result<Scenario, Vec<Problem>> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| vec![Problem::at("", format!("can't read the file: {error}"))])?;
    parse_scaled(&text, factor)
}

/// Reads a scenario.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(text: &str) -> Result<Scenario, Vec<Problem>> {
    parse_scaled(text, 1.0)
}

fn parse_scaled(text: &str, factor: f64) -> Result<Scenario, Vec<Problem>> {
    let mut json: Json =
        serde_json::from_str(text).map_err(|error| vec![Problem::at("", format!("not JSON: {error}"))])?;
    let problems = check(schema().as_value(), &json);
    if !problems.is_empty() {
        return Err(problems);
    }
    if factor != 1.0 {
        scale(&mut json, factor)?;
    }
    let scenario: Scenario = serde_json::from_value(json).map_err(|error| vec![Problem::at("", error.to_string())])?;
    let problems = meaning(&scenario);
    if problems.is_empty() { Ok(scenario) } else { Err(problems) }
}

/// What the schema can't say.
fn meaning(scenario: &Scenario) -> Vec<Problem> {
    let mut checker = Checker { scenario, hosts: BTreeSet::from([PROXY]), problems: Vec::new() };
    checker.hosts();
    checker.upstreams();
    checker.clients();
    checker.network();
    checker.timeline();
    for (index, expectation) in scenario.expect.iter().enumerate() {
        if let Some(upstream) = expectation.upstream() {
            let known = scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
            checker.known(&format!("expect[{index}].upstream"), "upstream", upstream, known.collect());
        }
        if let Some(client) = expectation.client() {
            let known = scenario.clients.iter().map(|client| client.name.as_str());
            checker.known(&format!("expect[{index}].client"), "client", client, known.collect());
        }
    }
    if let Err(text) = ConfigFile::first(scenario).config {
        checker.problem("proxy", text);
    }
    checker.problems
}

struct Checker<'a> {
    scenario: &'a Scenario,
    hosts: BTreeSet<&'a str>,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn problem(&mut self, path: &str, text: impl Into<String>) {
        self.problems.push(Problem::at(path, text.into()));
    }

    fn known(&mut self, path: &str, kind: &str, name: &str, known: BTreeSet<&str>) {
        if !known.contains(name) {
            self.problem(path, format!("no {kind} {name:?}{}", nearest(name, known.into_iter())));
        }
    }

    fn host(&mut self, path: &str, name: &str) {
        self.known(path, "host", name, self.hosts.clone());
    }

    fn pair(&mut self, path: &str, pair: &(String, String)) {
        self.host(&format!("{path}[0]"), &pair.0);
        self.host(&format!("{path}[1]"), &pair.1);
    }

    fn hosts(&mut self) {
        let scenario = self.scenario;
        let upstreams = scenario.upstreams.iter().map(|upstream| ("upstreams", &upstream.name)).enumerate();
        let clients = scenario.clients.iter().map(|client| ("clients", &client.name)).enumerate();
        for (index, (list, name)) in upstreams.chain(clients) {
            let path = format!("{list}[{index}].name");
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if name.is_empty() || !name.bytes().all(plain) {
                self.problem(&path, format!("must be letters, digits and dashes (got {name:?})"));
            }
            if !self.hosts.insert(name) {
                self.problem(&path, format!("{name:?} is taken by another host"));
            }
        }
    }

    fn upstreams(&mut self) {
        if self.scenario.upstreams.is_empty() {
            self.problem("upstreams", "must name at least one");
        }
        for (index, upstream) in self.scenario.upstreams.iter().enumerate() {
            let path = format!("upstreams[{index}]");
            if let Some(pair) = &upstream.auth
                && mock_upstreams::Auth::parse(pair).is_none()
            {
                self.problem(&join(&path, "auth"), "must be \"user:password\"");
            }
            if let Err(problems) = crate::upstream::read_plan(upstream, 0) {
                for problem in problems {
                    self.problem(&join(&path, "plan"), problem.to_string());
                }
            }
        }
    }

    fn clients(&mut self) {
        if self.scenario.clients.is_empty() {
            self.problem("clients", "must name at least one");
        }
        for (index, client) in self.scenario.clients.iter().enumerate() {
            self.client(&format!("clients[{index}]"), client);
        }
    }

    fn client(&mut self, path: &str, client: &Client) {
        for written in client.actions() {
            // Witnesses find a request by its id, which is the left-most label of a name with two more.
            let target = &written.value().action.target;
            let rest = target.strip_prefix("{id}.").and_then(|rest| rest.rsplit_once(':'));
            if rest.is_none_or(|(name, _)| !name.contains('.')) {
                let text = format!("target `{target}`: must begin with {{id}}. and a name with a dot must follow");
                self.problem(&join(path, "do"), text);
            }
        }
        if let Err(text) = client.mix() {
            self.problem(&join(path, "do"), text);
        }
        if client.rate.is_some() && client.stages.is_some() {
            self.problem(&join(path, "stages"), "has rates of its own: leave out rate");
        }
        if client.rate.is_some_and(|rate| rate.thousandths() == 0) {
            self.problem(&join(path, "rate"), "must be above 0");
        }
        let open = client.is_open_loop();
        for (field, given, of_open) in [
            ("poisson", client.poisson, true),
            ("max_in_flight", client.max_in_flight.is_some(), true),
            ("clients", client.clients.is_some(), false),
            ("think", !client.think.get().is_zero(), false),
            ("ramp_up", !client.ramp_up.get().is_zero(), false),
        ] {
            if given && of_open != open {
                let text = if of_open { "goes with rate or stages" } else { "does not go with rate or stages" };
                self.problem(&join(path, field), text);
            }
        }
        if !open && client.requests.is_none() && client.think.get().is_zero() {
            self.problem(path, "give requests, rate, stages or think: without any of them it would never pause");
        }
        let last = client.until.unwrap_or(self.scenario.duration);
        if client.from > last {
            self.problem(&join(path, "from"), "comes behind its end");
        }
    }

    fn network(&mut self) {
        let network = &self.scenario.network;
        if network.tick.get() < Duration::from_millis(1) {
            self.problem("network.tick", "must be at least 1ms");
        }
        for (index, link) in network.links.iter().enumerate() {
            self.pair(&format!("network.links[{index}].between"), &link.between);
        }
        for (name, hosts) in &network.dns {
            for (index, host) in hosts.iter().enumerate() {
                self.host(&format!("network.dns.{name}[{index}]"), host);
            }
        }
    }

    fn timeline(&mut self) {
        for (index, entry) in self.scenario.timeline.iter().enumerate() {
            let path = format!("timeline[{index}]");
            if entry.at > self.scenario.duration {
                self.problem(&join(&path, "at"), format!("is behind the duration ({})", self.scenario.duration));
            }
            self.action(&path, &entry.action);
        }
    }

    fn action(&mut self, path: &str, action: &Action) {
        match action {
            Action::Partition { between } | Action::Hold { between } => self.pair(&join(path, "between"), between),
            Action::PartitionOneWay { from, to } => {
                self.host(&join(path, "from"), from);
                self.host(&join(path, "to"), to);
            }
            Action::Heal { between } | Action::Loss { between, .. } | Action::Delay { between, .. } => {
                if let Some(between) = between {
                    self.pair(&join(path, "between"), between);
                }
            }
            Action::Crash { host } | Action::Restart { host } => self.host(&join(path, "host"), host),
            Action::Reload { proxy, text } => {
                if proxy.is_null() == text.is_none() {
                    self.problem(path, "give either proxy or text");
                }
            }
            Action::ClockJump { by } => {
                if crate::director::jump(by).is_none() {
                    self.problem(&join(path, "by"), format!("must be like \"1h\" or \"-1h\" (got {by:?})"));
                }
            }
            Action::Dns { hosts, .. } => {
                for (index, host) in hosts.iter().enumerate() {
                    self.host(&format!("{path}.hosts[{index}]"), host);
                }
            }
            Action::Arm { upstream, fault } | Action::Disarm { upstream, fault } => {
                let scenario = self.scenario;
                let names = scenario.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
                self.known(&join(path, "upstream"), "upstream", upstream, names);
                let plan = scenario.upstreams.iter().find(|one| one.name == *upstream);
                if let Some(Ok(plan)) = plan.map(|one| crate::upstream::read_plan(one, 0)) {
                    let ids = plan.entries().iter().map(|entry| entry.id.as_str()).collect();
                    self.known(&join(path, "fault"), "fault", fault, ids);
                }
            }
            Action::Drain => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    const HEAD: &str = r#""name": "x", "story": "x", "duration": "1s", "upstreams": [{"name": "a"}]"#;

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_the_nearest_name() {
        for (body, expected) in [
            (r#""clients": [], "timelin": []"#, r#"timelin: unknown field; did you mean "timeline"?"#),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "thinck": "1s"}]"#,
                r#"clients[0].thinck: unknown field; did you mean "think"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": "1"}]"#,
                r#"clients[0].requests: must be an integer (got "1")"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "think": 5}]"#,
                "clients[0].think: must be a text (got 5)",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "think": "5"}]"#,
                "clients[0].think: must be a time with a unit",
            ),
            (
                r#""clients": [{"name": "a", "do": "echo", "requests": 1}]"#,
                r#"clients[0].name: "a" is taken by another host"#,
            ),
            (r#""clients": [{"name": "c", "do": "echo"}]"#, "clients[0]: give requests, rate, stages or think"),
            (r#""clients": [{"name": "c", "requests": 1}]"#, "clients[0].do: is missing"),
            (
                r#""clients": [{"name": "c", "do": "ecko", "requests": 1}]"#,
                "clients[0].do: `ecko` is no action; there are connect, echo,",
            ),
            (
                r#""clients": [{"name": "c", "do": ["echo", "2*echo:early=1"], "requests": 1}]"#,
                "clients[0].do[1]: echo: `early` takes no value (got `1`)",
            ),
            (r#""clients": [{"name": "c", "do": "0*echo", "requests": 1}]"#, "clients[0].do: no action has a share"),
            (
                r#""clients": [{"name": "c", "do": "echo:target=x.test:80", "requests": 1}]"#,
                "clients[0].do: target `x.test:80`: must begin with {id}.",
            ),
            (r#""clients": [{"name": "c", "do": "echo", "rate": 0.0001}]"#, "clients[0].rate: `0.0001` is no rate"),
            (r#""clients": [{"name": "c", "do": "echo", "rate": 0}]"#, "clients[0].rate: must be above 0"),
            (
                r#""clients": [{"name": "c", "do": "echo", "stages": "5"}]"#,
                "clients[0].stages: `5`: expected RATExTIME",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "rate": 1, "think": "1s"}]"#,
                "clients[0].think: does not go with rate or stages",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "poisson": true}]"#,
                "clients[0].poisson: goes with rate or stages",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "clients": 0}]"#,
                "clients[0].clients: must be at least 1",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1, "users": ["alice"]}]"#,
                "clients[0].users[0]: a user is written NAME:PASSWORD",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "timeline": [{"at": "0s", "do": "crush", "host": "a"}]"#,
                r#"timeline[0].do: "crush" is not known; did you mean "crash"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "timeline": [{"at": "0s", "do": "crash", "hst": "a"}]"#,
                r#"timeline[0].hst: unknown field; did you mean "host"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "timeline": [{"at": "0s", "do": "crash", "host": "aa"}]"#,
                r#"timeline[0].host: no host "aa"; did you mean "a"?"#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "timeline": [{"at": "2s", "do": "drain"}]"#,
                "timeline[0].at: is behind the duration (1s)",
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "network": {"loss": 2}"#,
                "network.loss: must be from 0 to 1",
            ),
            (r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "proxy": {"servr": {}}"#, r#"proxy: "#),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}], "expect": [{"what": "picks", "upstream": "b"}]"#,
                r#"expect[0].upstream: no upstream "b""#,
            ),
            (
                r#""clients": [{"name": "c", "do": "echo", "requests": 1}],
                    "expect": [{"what": "requests", "outcome": "ok", "client": "b"}]"#,
                r#"expect[0].client: no client "b""#,
            ),
        ] {
            let problems = problems(&format!("{{{HEAD}, {body}}}"));
            assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{body}\n{problems:#?}");
        }
    }

    #[test]
    fn a_plan_is_checked_in_its_own_words() {
        let text = r#"{"name": "x", "story": "x", "duration": "1s", "clients": [{"name": "c", "do": "echo", "requests": 1}],
            "upstreams": [{"name": "a", "plan": {"faults": [{"fault": "garbge"}]}}]}"#;
        let problems = problems(text);
        assert!(problems[0].starts_with("upstreams[0].plan: faults[0].fault"), "{problems:?}");
    }

    #[test]
    fn what_is_read_is_what_is_written() {
        let text = format!(
            r#"{{{HEAD}, "clients": [{{"name": "c", "do": ["echo", "3*http:bytes=1k"], "rate": 2.5, "users": ["a:b"]}}],
            "timeline": [{{"at": "500ms", "do": "partition", "between": ["proxy", "a"]}}]}}"#
        );
        let scenario = parse(&text).unwrap();
        let written = serde_json::to_string(&scenario).unwrap();
        assert_eq!(serde_json::to_string(&parse(&written).unwrap()).unwrap(), written);
    }
}
