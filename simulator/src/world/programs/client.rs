//! A client process puts its workload on the proxy and records what came of every request.

use std::future::pending;
use std::time::Duration;

use loadgen::{Connector, OpenTunnels, RequestEvent, RequestRecord, Shard, Workload, drive};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::record::{ClientEvent, ClientResult, Phases, Recorder, What, micros};
use crate::scenario::{Client, HostName};

/// A process of a client. A client that is restarted gets another process.
pub(in crate::world) struct ClientProcess {
    /// The client as the scenario describes it.
    pub(in crate::world) client: Client,
    /// The place of the client among all clients of the run.
    pub(in crate::world) place: u32,
    /// How often the client was started before.
    pub(in crate::world) life: u32,
    /// The run's seed.
    pub(in crate::world) seed: u64,
    /// How long it waits before its first request.
    pub(in crate::world) wait: Duration,
    /// How long from now it may begin requests.
    pub(in crate::world) last: Duration,
    /// Records what becomes of its requests.
    pub(in crate::world) recorder: Recorder,
}

impl ClientProcess {
    /// Makes its requests over streams of `connector`. Returns once the last one is over; everything happens in the calling task.
    pub(in crate::world) async fn run(self, connector: impl Connector) {
        tokio::time::sleep(self.wait).await;
        let span = self.last.saturating_sub(self.wait);
        let workload = self.client.workload(self.draw_seed(), self.id_prefix(), span);
        let host = HostName::new(&self.client.name);
        let mut observe = |event| self.recorder.write(&host, What::Client(client_event(&workload, event)));
        drive(&workload, Shard::WHOLE, &connector, &OpenTunnels::default(), &mut observe, pending()).await;
    }

    /// The text in front of a request's number in its id. Numbers are hexadecimal, and `x` is not a digit, so a client that
    /// was started again uses no id twice.
    fn id_prefix(&self) -> String {
        let name = &self.client.name;
        if self.life == 0 { format!("{name}-") } else { format!("{name}-{}x", self.life) }
    }

    fn draw_seed(&self) -> u64 {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        // The director draws its random numbers from stream 0.
        random.set_stream((u64::from(self.place) + 1) << 32 | u64::from(self.life));
        random.next_u64()
    }
}

fn client_event(workload: &Workload, event: RequestEvent) -> ClientEvent {
    match event {
        RequestEvent::Began { request, intended, started } => {
            let action = workload.mix.action(request.action);
            ClientEvent::Asked {
                action: action.name(),
                method: action.method().to_owned(),
                user: workload.user(&request).map(|user| user.name().to_owned()),
                late_us: micros(started.saturating_sub(intended)),
                id: request.id,
                target: request.target,
            }
        }
        RequestEvent::Ended(done) => ClientEvent::Ended(result(*done)),
    }
}

fn result(done: RequestRecord) -> ClientResult {
    let late = done.started.saturating_sub(done.intended);
    ClientResult {
        failure: done.outcome.err(),
        status: done.status,
        proxy_status: done.proxy_status,
        up: done.up,
        down: done.down,
        phases: Phases::of(&done.phases),
        reused: done.reused,
        late_us: micros(late),
        took_us: micros(done.uncorrected()),
        id: done.request.id,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::judge::{RunReport, Verdict, run};
    use crate::record::{ClientEvent, What};
    use crate::scenario;

    /// A run in which everything is well but for what `clients` and `more` say.
    fn play(clients: &str, more: &str) -> RunReport {
        let text = format!(
            r#"{{"name": "x", "story": "x", "duration": "6s", "upstreams": [{{"name": "a"}}, {{"name": "b"}}],
            "clients": [{clients}]{more}}}"#
        );
        run(&scenario::parse(&text).unwrap(), 1)
    }

    fn asked(report: &RunReport) -> impl Iterator<Item = (&str, &str, Option<&str>)> {
        report.trace.lines.iter().filter_map(|line| match &line.what {
            What::Client(ClientEvent::Asked { id, action, user, .. }) if line.host.as_str() == "c" => {
                Some((id.as_str(), *action, user.as_deref()))
            }
            _ => None,
        })
    }

    #[test]
    fn every_action_of_a_mix_is_done_and_holds() {
        let report = play(
            r#"{"name": "c", "clients": 4, "think": "20ms", "requests": 80, "do": ["connect", "echo:rounds=2,bytes=1k,early",
                "upload", "download:send=3k", "hold:for=1s", "http:bytes=10k", "http:method=POST,path=/echo,send=2k,keep-alive",
                "http:bytes=100,pipeline=4", "tls:method=POST,path=/echo,send=3k", "page:path=/healthz", "websocket:rounds=2", "echo:bytes=30,slow=10/50ms"]}"#,
            "",
        );
        assert_eq!(report.verdict, Verdict::Passed, "{:?}", report.violations);
        assert_eq!(asked(&report).count(), 80);
        let done: BTreeSet<&str> = asked(&report).map(|(_, action, _)| action).collect();
        assert_eq!(
            done,
            BTreeSet::from(["connect", "download", "echo", "hold", "http", "page", "tls", "upload", "websocket"])
        );
    }

    #[test]
    fn a_client_that_is_started_again_uses_no_id_twice() {
        let report = play(
            r#"{"name": "c", "do": "echo", "rate": 10, "requests": 20}"#,
            r#", "timeline": [{"at": "1050ms", "do": "crash", "host": "c"}, {"at": "2s", "do": "restart", "host": "c"}]"#,
        );
        assert_eq!(report.verdict, Verdict::Passed, "{:?}", report.violations);
        let ids: Vec<&str> = asked(&report).map(|(id, ..)| id).collect();
        assert_eq!((ids.len(), ids[10], ids[11], ids[30]), (31, "c-a", "c-1x0", "c-1x13"));
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }

    #[test]
    fn requests_come_as_all_users() {
        let report =
            play(r#"{"name": "c", "do": "echo", "rate": 10, "requests": 20, "users": ["ann:1", "bob:2"]}"#, "");
        let users: BTreeSet<Option<&str>> = asked(&report).map(|(.., user)| user).collect();
        assert_eq!(users, BTreeSet::from([Some("ann"), Some("bob")]));
    }

    #[test]
    fn waiting_in_line_counts() {
        let client = r#"{"name": "c", "do": "hold:for=500ms", "rate": 10, "requests": 5, "max_in_flight": 1}"#;
        let within = |most: &str| play(client, &format!(r#", "expect": [{{"what": "latency", "at_most": "{most}"}}]"#));
        assert_eq!(within("3s").verdict, Verdict::Passed);
        let late = within("1s");
        assert_eq!((late.verdict, late.violations[0].of.as_str()), (Verdict::Violated, "expect[0]"));
    }
}
