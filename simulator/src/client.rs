//! Client hosts: each puts its workload on the proxy, and writes down what came of every request.

use std::future::pending;
use std::time::Duration;

use loadgen::{Done, Event, Gauge, Net, Shard, Workload, drive};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::engine::HostName;
use crate::scenario::Client;
use crate::trace::{ClientEvent, Phases, Recorder, Verdict, What, micros};

/// One life of a client's process.
pub struct Process {
    /// Whose.
    pub client: Client,
    /// Its place among the run's clients.
    pub place: u32,
    /// How often it was started before.
    pub life: u32,
    /// The run's seed.
    pub seed: u64,
    /// From now until its first request.
    pub wait: Duration,
    /// From now until it begins no more.
    pub last: Duration,
    /// Where everything is written down.
    pub recorder: Recorder,
}

impl Process {
    /// Makes its requests over streams of `net`. Returns once the last one is over; everything happens in the calling task.
    pub async fn run(self, net: impl Net) {
        tokio::time::sleep(self.wait).await;
        let span = self.last.saturating_sub(self.wait);
        let workload = self.client.workload(self.draw_seed(), self.id_prefix(), span);
        let host = HostName::new(&self.client.name);
        let mut observe = |event| self.recorder.write(&host, What::Client(told(&workload, event)));
        drive(&workload, Shard::WHOLE, &net, &Gauge::default(), &mut observe, pending()).await;
    }

    /// In front of a request's number in hexadecimal. A client that was started again must not use an id twice; no `x` is
    /// a digit.
    fn id_prefix(&self) -> String {
        let name = &self.client.name;
        if self.life == 0 { format!("{name}-") } else { format!("{name}-{}x", self.life) }
    }

    fn draw_seed(&self) -> u64 {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        // Stream 0 is the director's.
        random.set_stream((u64::from(self.place) + 1) << 32 | u64::from(self.life));
        random.next_u64()
    }
}

fn told(workload: &Workload, event: Event) -> ClientEvent {
    match event {
        Event::Began { request, intended, started } => {
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
        Event::Ended(done) => ClientEvent::Ended(verdict(*done)),
    }
}

fn verdict(done: Done) -> Verdict {
    let late = done.started.saturating_sub(done.intended);
    Verdict {
        failure: done.outcome.err(),
        status: done.status,
        up: done.up,
        down: done.down,
        phases: Phases::of(&done.phases),
        reused: done.reused,
        late_us: micros(late),
        took_us: micros(done.uncorrected()),
        id: done.request.id,
    }
}
