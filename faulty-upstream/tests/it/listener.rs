//! Tests faults of the listener and of the whole upstream.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faulty_upstream::listen::run_listener;
use faulty_upstream::{FaultyUpstream, Listener, State};
use mock_upstreams::journal::Event;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use crate::support::{Faulty, connect_to, expect_silence, plan_of, proofs, read_head, upstream};

impl Faulty {
    /// Arms or disarms the first entry and waits until the listener follows.
    async fn arm(&self, armed: bool) {
        let before = self.upstream.journal().counts().listener_changes;
        let id = self.upstream.plan().entries()[0].id.clone();
        self.upstream
            .change_plan(|plan| {
                plan.arm(&id, armed)?;
                Ok::<_, String>(String::new())
            })
            .unwrap();
        self.until(|counts| counts.listener_changes > before).await;
    }

    async fn works(&self) {
        let mut client = self.connect().await;
        client.write_all(connect_to("echo.mock:80").as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 "));
    }
}

/// A listener that only writes down when it was told what.
struct Fake(Arc<Mutex<Vec<(u64, State)>>>, Instant);

impl Listener for Fake {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<DuplexStream> {
        pending().await
    }

    async fn set(&mut self, state: State) -> io::Result<()> {
        self.0.lock().unwrap().push((self.1.elapsed().as_secs(), state));
        Ok(())
    }
}

/// What the listener is told within a minute, by the second.
async fn schedule(entry: &str) -> Vec<(u64, State)> {
    told_meanwhile(&upstream(plan_of(entry)), tokio::time::sleep(Duration::from_secs(60))).await
}

/// What the listener is told until `done`, by the second.
async fn told_meanwhile(upstream: &FaultyUpstream, done: impl Future<Output = ()>) -> Vec<(u64, State)> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let fake = Fake(told.clone(), Instant::now());
    run_listener(upstream, fake, |_| {}, done).await.unwrap();
    told.lock().unwrap().clone()
}

proofs! {
    #[tokio::test]
    connections_are_refused_and_the_port_comes_back proves "refuse" {
        let faulty = Faulty::start(r#"{"fault": "refuse", "armed": false}"#).await;
        faulty.works().await;
        faulty.arm(true).await;
        let error = TcpStream::connect(faulty.address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        // Nobody else is given the port meanwhile, or clients of the upstream would meet a stranger there.
        let stranger = TcpSocket::new_v4().unwrap();
        stranger.set_reuseaddr(true).unwrap();
        assert_eq!(stranger.bind(faulty.address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        faulty.arm(false).await;
        faulty.works().await;
        let events: Vec<_> = faulty.upstream.journal().entries().into_iter().map(|entry| entry.event).collect();
        assert_eq!(events[0], Event::Opened { connection: 1, peer: Some("127.0.0.1".to_owned()) });
        assert!(events.contains(&Event::Listener { state: "closed", faults: vec!["refuse".to_owned()] }));
        assert_eq!(faulty.upstream.plan().entries()[0].struck, 1);
    }

    #[tokio::test]
    connecting_hangs_until_there_is_room_again proves "backlog-full" {
        let faulty = Faulty::start(r#"{"fault": "backlog-full", "armed": false}"#).await;
        faulty.arm(true).await;
        let mut connecting = Box::pin(TcpStream::connect(faulty.address));
        // Silence elsewhere passes the time; an unconnected pipe never has anything to say.
        let (mut quiet, _end) = tokio::io::duplex(1);
        tokio::select! {
            biased;
            connected = &mut connecting => panic!("{connected:?} in spite of a full backlog"),
            () = expect_silence(&mut quiet) => {}
        }
        faulty.arm(false).await;
        // The kernel tries again by itself, after about a second.
        let mut client = connecting.await.unwrap();
        client.write_all(connect_to("echo.mock:80").as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    open_tunnels_go_with_the_process_and_it_comes_back proves "die" {
        let faulty = Faulty::start(r#"{"fault": "die", "with": {"down": "1h"}, "armed": false}"#).await;
        let mut client = faulty.connect().await;
        client.write_all(connect_to("echo.mock:80").as_bytes()).await.unwrap();
        read_head(&mut client).await;
        faulty.arm(true).await;
        assert!(client.read_u8().await.is_err());
        let error = TcpStream::connect(faulty.address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        faulty.arm(false).await;
        faulty.works().await;
    }

    #[tokio::test(start_paused = true)]
    death_and_birth_come_when_they_should proves "die" {
        let told = schedule(r#"{"fault": "die", "with": {"after": "3s", "down": "4s"}}"#).await;
        assert_eq!(told, [(3, State::Closed), (7, State::Open)]);
    }

    #[tokio::test(start_paused = true)]
    the_listener_comes_and_goes proves "flap" {
        let told = schedule(r#"{"fault": "flap", "with": {"up": "10s", "down": "20s"}, "when": {"until": "45s"}}"#).await;
        let (open, closed) = (State::Open, State::Closed);
        assert_eq!(told, [(10, closed), (30, open), (40, closed), (45, open)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_opens_and_closes_the_fault() {
    let told = schedule(r#"{"fault": "backlog-full", "when": {"from": "5s", "until": "8s"}}"#).await;
    assert_eq!(told, [(5, State::Full), (8, State::Open)]);
}

#[tokio::test(start_paused = true)]
async fn a_window_is_counted_from_the_begin_of_what_it_is_meant_for() {
    let upstream = upstream(plan_of(r#"{"fault": "refuse", "when": {"from": "5s", "until": "8s"}}"#));
    let begins = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        upstream.begin();
        tokio::time::sleep(Duration::from_secs(30)).await;
    };
    assert_eq!(told_meanwhile(&upstream, begins).await, [(8, State::Closed), (11, State::Open)]);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_is_armed_by_hand_begins_then() {
    let upstream = upstream(plan_of(r#"{"fault": "die", "with": {"down": "5s"}, "armed": false}"#));
    let by_hand = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        upstream.change_plan(|plan| plan.arm("die", true).map(|()| String::new())).unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
    };
    assert_eq!(told_meanwhile(&upstream, by_hand).await, [(30, State::Closed), (35, State::Open)]);
}

#[tokio::test]
async fn a_listener_that_lacks_a_state_refuses_by_the_faults_name() {
    struct Stubborn;
    impl Listener for Stubborn {
        type Stream = DuplexStream;

        async fn accept(&mut self) -> io::Result<DuplexStream> {
            pending().await
        }

        async fn set(&mut self, _: State) -> io::Result<()> {
            Err(io::Error::new(io::ErrorKind::Unsupported, "no such thing here"))
        }
    }
    let upstream = upstream(plan_of(r#"{"fault": "backlog-full"}"#));
    let error = run_listener(&upstream, Stubborn, |_| {}, pending()).await.unwrap_err();
    assert_eq!(error.to_string(), "f: backlog-full: no such thing here");
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}
