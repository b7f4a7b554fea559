//! Client hosts: requests through the proxy, and what came of each.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mock_upstreams::checksum::Tally;
use mock_upstreams::target::{Builtin, pattern, tally_of_pattern};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::engine::{Clock, Host, HostName};
use crate::scenario::{Client, Ends, Method, Span};
use crate::trace::{ClientEvent, Outcome, Recorder, Verdict, What, micros};

/// The largest answer's head that a client reads.
const HEAD_LIMIT: usize = 64 * 1024;

/// One client at work.
struct Work<H> {
    client: Client,
    host: H,
    name: HostName,
    proxy: SocketAddr,
    recorder: Recorder,
    /// The number of the last request.
    last: Cell<u64>,
    /// When no more requests are made.
    until: Instant,
}

/// Makes `client`'s requests from `host` to the proxy at `proxy`, none after `last` unless it says itself. Starts tasks.
pub async fn run<H: Host>(client: Client, host: H, proxy: SocketAddr, recorder: Recorder, clock: Clock, last: Span) {
    let name = HostName::new(&client.name);
    sleep(client.from.get().saturating_sub(clock.now())).await;
    let until = Instant::now() + client.until.unwrap_or(last).get().saturating_sub(clock.now());
    let work = Rc::new(Work { client, host, name, proxy, recorder, last: Cell::new(0), until });
    match work.client.every {
        Some(every) => {
            let mut next = Instant::now();
            while let Some(number) = work.next() {
                let one = Rc::clone(&work);
                work.host.spawn(async move { one.request(number).await });
                next += every.get();
                sleep_until(next).await;
            }
        }
        None => {
            for _ in 0..work.client.concurrency.unwrap_or(1) {
                let worker = Rc::clone(&work);
                work.host.spawn(async move {
                    while let Some(number) = worker.next() {
                        worker.request(number).await;
                        if !worker.client.think.get().is_zero() {
                            sleep(worker.client.think.get()).await;
                        }
                    }
                });
            }
        }
    }
}

/// A success: the length its head tells, and what was read behind the head.
struct Answer {
    length: Option<u64>,
    rest: Vec<u8>,
}

/// Why a request ended early.
struct Ended(Outcome);

impl<H: Host> Work<H> {
    fn next(&self) -> Option<u64> {
        let number = self.last.get() + 1;
        let allowed = self.client.requests.is_none_or(|most| number <= most) && Instant::now() < self.until;
        allowed.then(|| {
            self.last.set(number);
            number
        })
    }

    async fn request(&self, number: u64) {
        let id = format!("{}-{number}", self.client.name);
        let target = if self.client.target.starts_with(|first: char| first.is_ascii_alphabetic()) {
            format!("{id}.{}", self.client.target)
        } else {
            self.client.target.clone()
        };
        let method = self.client.method.as_str();
        self.tell(ClientEvent::Asked { id: id.clone(), method, target: target.clone() });
        let began = Instant::now();
        let mut verdict = Verdict {
            id,
            outcome: Outcome::Ok,
            status: None,
            up: Tally::EMPTY,
            down: Tally::EMPTY,
            answered_us: None,
            took_us: 0,
        };
        let exchange = match self.client.method {
            Method::Connect => self.tunnel(&target, began, &mut verdict).await,
            Method::Get | Method::Post => self.forward(&target, began, &mut verdict).await,
        };
        if let Err(Ended(outcome)) = exchange {
            verdict.outcome = outcome;
        }
        verdict.took_us = micros(began.elapsed());
        self.tell(ClientEvent::Ended(verdict));
    }

    fn tell(&self, event: ClientEvent) {
        self.recorder.write(&self.name, What::Client(event));
    }

    /// What `step` gives, unless it fails or takes longer than this client waits.
    async fn patiently<T>(&self, step: impl Future<Output = io::Result<T>>, failed: Outcome) -> Result<T, Ended> {
        match timeout(self.client.patience.get(), step).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(Ended(failed)),
            Err(_) => Err(Ended(Outcome::TimedOut)),
        }
    }

    fn authorization(&self) -> String {
        self.client
            .credentials
            .as_ref()
            .map_or(String::new(), |pair| format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(pair)))
    }

    async fn answer(&self, stream: &mut H::Stream, began: Instant, verdict: &mut Verdict) -> Result<Answer, Ended> {
        let mut head = Vec::new();
        let end = loop {
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let count = self.patiently(stream.read_buf(&mut head), Outcome::Cut).await?;
            if count == 0 || head.len() > HEAD_LIMIT {
                return Err(Ended(Outcome::Cut));
            }
        };
        let rest = head.split_off(end);
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or(Ended(Outcome::Wrong))?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        verdict.status = Some(status);
        verdict.answered_us = Some(micros(began.elapsed()));
        if !(200..300).contains(&status) {
            return Err(Ended(Outcome::Refused));
        }
        Ok(Answer { length, rest })
    }

    async fn tunnel(&self, target: &str, began: Instant, verdict: &mut Verdict) -> Result<(), Ended> {
        let mut stream = self.patiently(self.host.connect(self.proxy), Outcome::Unreachable).await?;
        let authorization = self.authorization();
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n").into_bytes();
        let early = pattern(0, usize::try_from(self.client.early).unwrap_or(usize::MAX));
        head.extend_from_slice(&early);
        self.patiently(stream.write_all(&head), Outcome::Cut).await?;
        verdict.up.add(&early);
        let answer = self.answer(&mut stream, began, verdict).await?;
        verdict.down.add(&answer.rest);
        let (reader, writer) = split(stream);
        let sent = Cell::new(verdict.up);
        let come = Cell::new(verdict.down);
        let ended = match self.client.ends {
            Ends::First => {
                let (wrote, read) = tokio::join!(biased; self.write(writer, &sent), self.read(reader, &come));
                // What can't be sent any more matters only if not all came back.
                read.and(wrote)
            }
            Ends::Last => match self.read(reader, &come).await {
                Ok(()) => self.write(writer, &sent).await,
                Err(ended) => Err(ended),
            },
        };
        (verdict.up, verdict.down) = (sent.get(), come.get());
        ended?;
        match self.expected() {
            Some(expected) if verdict.down.bytes < expected.bytes => Err(Ended(Outcome::Cut)),
            Some(expected) if verdict.down != expected => Err(Ended(Outcome::Wrong)),
            _ => Ok(()),
        }
    }

    /// What must come through a tunnel, where that is known.
    fn expected(&self) -> Option<Tally> {
        let (host, _) = self.client.target.rsplit_once(':')?;
        match Builtin::named(host)? {
            Builtin::Echo | Builtin::Slow { .. } => Some(tally_of_pattern(self.client.send)),
            Builtin::Source { bytes } => Some(tally_of_pattern(bytes)),
            _ => None,
        }
    }

    async fn write(&self, mut writer: WriteHalf<H::Stream>, sent: &Cell<Tally>) -> Result<(), Ended> {
        let Client { send, chunk, pace, hold, .. } = self.client;
        let step = chunk.map_or(u64::from(u16::MAX), std::num::NonZeroU64::get);
        while sent.get().bytes < send {
            let before = sent.get().bytes;
            let bytes = pattern(before, usize::try_from(step.min(send - before)).unwrap_or(usize::MAX));
            self.patiently(writer.write_all(&bytes), Outcome::Cut).await?;
            let mut tally = sent.get();
            tally.add(&bytes);
            sent.set(tally);
            rest_for(pace.get()).await;
        }
        rest_for(hold.get()).await;
        self.patiently(writer.shutdown(), Outcome::Cut).await
    }

    async fn read(&self, mut reader: ReadHalf<H::Stream>, come: &Cell<Tally>) -> Result<(), Ended> {
        let Client { chunk, pace, hold, .. } = self.client;
        let size = chunk.map_or(16 * 1024, |chunk| usize::try_from(chunk.get()).unwrap_or(usize::MAX));
        let mut buffer = vec![0; size.min(64 * 1024)];
        let patience = self.client.patience.get() + hold.get();
        loop {
            let count = match timeout(patience, reader.read(&mut buffer)).await {
                Ok(Ok(count)) => count,
                Ok(Err(_)) => return Err(Ended(Outcome::Cut)),
                Err(_) => return Err(Ended(Outcome::TimedOut)),
            };
            if count == 0 {
                return Ok(());
            }
            let mut tally = come.get();
            tally.add(&buffer[..count]);
            come.set(tally);
            rest_for(pace.get()).await;
        }
    }

    async fn forward(&self, target: &str, began: Instant, verdict: &mut Verdict) -> Result<(), Ended> {
        let mut stream = self.patiently(self.host.connect(self.proxy), Outcome::Unreachable).await?;
        let method = self.client.method.as_str();
        let body = match self.client.method {
            Method::Post => pattern(0, usize::try_from(self.client.send).unwrap_or(usize::MAX)),
            Method::Connect | Method::Get => pattern(0, 0),
        };
        let authorization = self.authorization();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!(
            "{method} http://{target}/ HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n{length}{authorization}\r\n"
        );
        self.patiently(stream.write_all(head.as_bytes()), Outcome::Cut).await?;
        self.patiently(stream.write_all(&body), Outcome::Cut).await?;
        verdict.up.add(&body);
        let answer = self.answer(&mut stream, began, verdict).await?;
        let mut all = answer.rest;
        while self.patiently(stream.read_buf(&mut all), Outcome::Cut).await? > 0 {}
        verdict.down.add(&all);
        let whole = match answer.length {
            Some(length) => verdict.down.bytes == length,
            None => all.ends_with(b"0\r\n\r\n"),
        };
        if whole { Ok(()) } else { Err(Ended(Outcome::Cut)) }
    }
}

async fn rest_for(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
