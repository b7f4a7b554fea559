//! Tests who is let in, what a 407 leaves usable, and that nobody's credentials travel further than they should.

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mock_upstreams::Journal;
use proxy::Proxy;
use proxy::env::os::{Os, OsListener, OsStream};
use proxy::env::{Busy, Early, Env, RelayLimits, Relayed, Stop, Traffic};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::{Client, Double, Ear, TestProxy, config, parse, run};

const CHALLENGE: &str = "\r\nProxy-Authenticate: Basic realm=\"netdrift\", charset=\"UTF-8\"\r\n";

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

/// `head` with `lines` behind its first line.
fn with(head: &str, lines: &str) -> String {
    head.replacen("\r\n", &format!("\r\n{lines}"), 1)
}

const CONNECT: &str = "CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock:80\r\n\r\n";
const GET: &str = "GET http://http.mock/ HTTP/1.1\r\nHost: http.mock\r\n\r\n";

fn argon2(password: &str) -> String {
    let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
    cheap.hash_password_with_salt(password.as_bytes(), b"saltsaltsalt").unwrap().to_string()
}

/// A configuration with four users: two plain ones, one bcrypt, one argon2.
fn guarded(upstreams: &[SocketAddr]) -> Value {
    let mut config = config(upstreams);
    config["authentication"] = json!({ "enabled": true, "users": [
        { "username": "anna", "password": "plain:pass" },
        { "username": "zo\u{eb}", "password": "p\u{e4}ss" },
        { "username": "bert", "password": bcrypt::hash("bcrypt pass", 4).unwrap() },
        { "username": "carl", "password": argon2("argon pass") },
    ]});
    config
}

/// Requests that reached the upstream, once none is under way: an answer is read before its request is written down.
async fn served(journal: &Journal) -> u64 {
    journal.until(|counts| counts.requests > 0 && counts.open_requests == 0).await.requests
}

async fn assert_echoes(client: &mut Client) {
    client.send("hello").await;
    assert_eq!(client.exactly(5).await, b"hello");
}

#[test]
fn a_client_that_shows_credentials_only_when_asked_does_so_on_the_same_connection() {
    run(async {
        let (upstream, _) = Double::mock("mock").await;
        let proxy = TestProxy::start(guarded(&[upstream.addr])).await;
        let mut client = proxy.client().await;
        // Through every kind of refusal, plain HTTP and CONNECT in turn.
        for lines in
            ["", "Proxy-Authorization: Digest x\r\n", &format!("Proxy-Authorization: {}\r\n", basic("anna:no"))]
        {
            for request in [GET, CONNECT] {
                client.send(with(request, lines)).await;
                let (head, body) = client.response().await;
                assert!(head.starts_with("HTTP/1.1 407 ") && head.contains(CHALLENGE), "{head}");
                assert!(!head.contains("\r\nConnection: close"), "{head}");
                assert!(body.starts_with(b"netdrift: "));
            }
        }
        let right = format!("Proxy-Authorization: {}\r\n", basic("anna:plain:pass"));
        client.send(with(GET, &right)).await;
        assert!(client.response().await.0.starts_with("HTTP/1.1 200 "));
        // What one request showed does not count for the next.
        client.send(GET).await;
        assert!(client.response().await.0.starts_with("HTTP/1.1 407 "));
        client.send(with(CONNECT, &right)).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_echoes(&mut client).await;
    });
}

#[test]
fn a_407_closes_where_going_on_could_be_misread() {
    run(async {
        let (upstream, journal) = Double::mock("mock").await;
        let proxy = TestProxy::start(guarded(&[upstream.addr])).await;
        let mut strict = guarded(&[upstream.addr]);
        strict["authentication"]["close_after_refusal"] = json!(true);
        let strict = TestProxy::start(strict).await;
        let right = with(GET, &format!("Proxy-Authorization: {}\r\n", basic("anna:plain:pass")));
        let http10 = CONNECT.replace("HTTP/1.1", "HTTP/1.0");
        let body = "POST http://http.mock/ HTTP/1.1\r\nHost: http.mock\r\nContent-Length: 3\r\n\r\nabc";
        for (why, proxy, bytes) in [
            ("a request behind a refused CONNECT", &proxy, format!("{CONNECT}{right}")),
            ("one byte behind a refused CONNECT", &proxy, format!("{CONNECT}G")),
            ("a body", &proxy, format!("{body}{right}")),
            ("Connection: close", &proxy, with(CONNECT, "Connection: close\r\n")),
            ("Proxy-Connection: close", &proxy, with(CONNECT, "Proxy-Connection: close\r\n")),
            ("HTTP/1.0", &proxy, http10),
            ("the setting", &strict, CONNECT.to_owned()),
        ] {
            let mut client = proxy.client().await;
            client.send(bytes).await;
            let (head, body) = client.response().await;
            assert!(head.starts_with("HTTP/1.1 407 ") && head.contains(CHALLENGE), "{why}: {head}");
            assert!(head.contains("\r\nConnection: close\r\n"), "{why}: {head}");
            assert!(!body.is_empty());
            assert_eq!(client.rest().await.unwrap(), b"", "{why}");
        }
        // The setting is about CONNECT.
        let mut client = strict.client().await;
        client.send(GET).await;
        assert!(client.response().await.0.starts_with("HTTP/1.1 407 "));
        client.send(&right).await;
        assert!(client.response().await.0.starts_with("HTTP/1.1 200 "));
        assert_eq!(served(&journal).await, 1);
    });
}

#[test]
fn only_right_credentials_in_one_well_formed_field_let_in() {
    run(async {
        let (upstream, journal) = Double::mock("mock").await;
        let proxy = TestProxy::start(guarded(&[upstream.addr])).await;
        let right =
            ["anna:plain:pass", "zo\u{eb}:p\u{e4}ss", "bert:bcrypt pass", "carl:argon pass", "bert:bcrypt pass"];
        for text in right {
            let mut client = proxy.client().await;
            client.send(with(GET, &format!("proxy-authorization: {}\r\n", basic(text)))).await;
            assert!(client.response().await.0.starts_with("HTTP/1.1 200 "), "{text}");
        }
        let anna = basic("anna:plain:pass");
        let field = |value: &str| format!("Proxy-Authorization: {value}\r\n");
        let wrong = [
            ("none", String::new()),
            ("those for the target", format!("Authorization: {anna}\r\n")),
            ("empty", field("")),
            ("scheme alone", field("Basic")),
            ("scheme with a space", field("Basic ")),
            ("no scheme", field(&STANDARD.encode("anna:plain:pass"))),
            ("another scheme", field(&anna.replace("Basic", "Bearer"))),
            ("not base64", field("Basic !!!")),
            ("cut base64", field(&anna[..anna.len() - 1])),
            ("base64 with something behind", field(&format!("{anna} x"))),
            ("twice", field(&anna).repeat(2)),
            ("right and wrong", field(&anna) + &field(&basic("anna:no"))),
            ("wrong and right", field(&basic("anna:no")) + &field(&anna)),
            ("a list", field(&format!("{anna}, {anna}"))),
            ("wrong password", field(&basic("anna:plain:pas"))),
            ("longer password", field(&basic("anna:plain:passs"))),
            ("empty password", field(&basic("anna:"))),
            ("no colon", field(&basic("anna"))),
            ("empty user", field(&basic(":plain:pass"))),
            ("empty user and password", field(&basic(":"))),
            ("unknown user", field(&basic("dora:plain:pass"))),
            ("user in another case", field(&basic("Anna:plain:pass"))),
            ("another user's password", field(&basic("bert:argon pass"))),
            ("a hash for a password", field(&basic(&format!("carl:{}", argon2("argon pass"))))),
            ("wrong password of a bcrypt user", field(&basic("bert:no"))),
            ("wrong password of an argon2 user", field(&basic("carl:no"))),
            ("NUL behind the password", field(&basic("anna:plain:pass\0"))),
            ("a second answer in the user's name", field(&basic("anna\r\n\r\nHTTP/1.1 200 OK\r\n\r\n:x"))),
        ];
        for (what, lines) in &wrong {
            let mut client = proxy.client().await;
            client.send(with(CONNECT, lines)).await;
            client.finish().await;
            let text = String::from_utf8(client.rest().await.unwrap()).unwrap();
            assert!(text.starts_with("HTTP/1.1 407 ") && text.contains(CHALLENGE), "{what}: {text}");
            assert_eq!(text.matches("HTTP/1.1").count(), 1, "{what}: {text}");
        }
        assert_eq!(served(&journal).await, right.len() as u64);
        let stats = proxy.stats().await;
        assert_eq!(stats["rejected_requests"], wrong.len());
        assert_eq!(stats["total"]["total_requests"], right.len());
    });
}

#[test]
fn upstreams_see_their_own_credentials_and_never_the_clients() {
    run(async {
        let (tell, mut told) = mpsc::unbounded_channel();
        let upstream = Double::scripted(move |_, mut peer| {
            let tell = tell.clone();
            async move {
                let head = peer.head().await;
                let reply = if head.starts_with("CONNECT") { "" } else { "Content-Length: 0\r\nConnection: close\r\n" };
                tell.send(head).unwrap();
                peer.send(format!("HTTP/1.1 200 OK\r\n{reply}\r\n")).await;
                // The proxy closes what it has no use for.
                let _ = peer.rest().await;
            }
        })
        .await;
        for own in [None, Some("up:secret")] {
            let mut config = guarded(&[upstream.addr]);
            if let Some(own) = own {
                config["upstream_proxies"][0]["url"] = json!(format!("http://{own}@{}", upstream.addr));
            }
            let proxy = TestProxy::start(config).await;
            let lines =
                format!("Proxy-Authorization: {}\r\nAuthorization: Bearer target's\r\n", basic("anna:plain:pass"));
            for request in [CONNECT, GET] {
                let mut client = proxy.client().await;
                client.send(with(request, &lines)).await;
                assert!(client.head().await.starts_with("HTTP/1.1 200 "));
                let head = told.recv().await.unwrap();
                let seen: Vec<_> = head.lines().filter(|line| line.starts_with("Proxy-Authorization")).collect();
                let expected: Vec<_> = own.iter().map(|own| format!("Proxy-Authorization: {}", basic(own))).collect();
                assert_eq!(seen, expected, "{head}");
                // Only what is meant for the target goes on, and in a CONNECT nothing is.
                assert_eq!(head.contains("\r\nAuthorization: Bearer target's\r\n"), request == GET, "{head}");
            }
        }
    });
}

#[test]
fn a_hash_is_computed_once_for_many_requests() {
    run(async {
        let (upstream, _) = Double::mock("mock").await;
        let env = Counting { room: true, ..Counting::default() };
        let proxy = start(guarded(&[upstream.addr]), &env).await;
        let hashed = || env.hashed.load(Ordering::SeqCst);
        for (user, so_far) in [("bert:bcrypt pass", 1), ("carl:argon pass", 2), ("anna:plain:pass", 2)] {
            for _ in 0..20 {
                let mut client = Client::connect(proxy.local_addr()).await;
                client.send(with(GET, &format!("Proxy-Authorization: {}\r\n", basic(user)))).await;
                assert!(client.response().await.0.starts_with("HTTP/1.1 200 "));
            }
            assert_eq!(hashed(), so_far, "{user}");
        }
        // A wrong guess costs the same whoever it is for.
        for (guess, so_far) in [("bert:no", 3), ("anna:no", 4), ("nobody:no", 5)] {
            let mut client = Client::connect(proxy.local_addr()).await;
            client.send(with(GET, &format!("Proxy-Authorization: {}\r\n", basic(guess)))).await;
            assert!(client.response().await.0.starts_with("HTTP/1.1 407 "));
            assert_eq!(hashed(), so_far, "{guess}");
        }
    });
}

#[test]
fn a_reload_asks_nobody_to_prove_an_unchanged_password_again() {
    run(async {
        let (upstream, _) = Double::mock("mock").await;
        let env = Counting { room: true, ..Counting::default() };
        let mut config = guarded(&[upstream.addr]);
        let proxy = start(config.clone(), &env).await;
        let statuses = async || {
            let mut statuses = Vec::new();
            for user in ["bert:bcrypt pass", "carl:argon pass"] {
                let mut client = Client::connect(proxy.local_addr()).await;
                client.send(with(GET, &format!("Proxy-Authorization: {}\r\n", basic(user)))).await;
                statuses.push(client.response().await.0[9..12].to_owned());
            }
            (statuses, env.hashed.load(Ordering::SeqCst))
        };
        let both = || vec!["200".to_owned(), "200".to_owned()];
        assert_eq!(statuses().await, (both(), 2));
        proxy.reload(parse(&config)).unwrap();
        config["server"]["name"] = json!("another");
        proxy.reload(parse(&config)).unwrap();
        assert_eq!(statuses().await, (both(), 2), "hashed again after a reload that changed no user");
        // The same password, hashed anew: that user alone has to prove it.
        config["authentication"]["users"][2]["password"] = json!(bcrypt::hash("bcrypt pass", 4).unwrap());
        proxy.reload(parse(&config)).unwrap();
        assert_eq!(statuses().await, (both(), 3));
        config["authentication"]["users"][3]["password"] = json!(argon2("another"));
        proxy.reload(parse(&config)).unwrap();
        assert_eq!(statuses().await.0, ["200", "407"]);
    });
}

#[test]
fn where_too_many_passwords_are_checked_a_client_may_come_back() {
    run(async {
        let (upstream, journal) = Double::mock("mock").await;
        let proxy = start(guarded(&[upstream.addr]), &Counting::default()).await;
        let bert = format!("Proxy-Authorization: {}\r\n", basic("bert:bcrypt pass"));
        let mut client = Client::connect(proxy.local_addr()).await;
        client.send(with(GET, &bert)).await;
        let (head, _) = client.response().await;
        let says = |field: &str| head.contains(&format!("\r\n{field}: "));
        assert!(head.starts_with("HTTP/1.1 503 ") && says("Retry-After") && says("Proxy-Status"), "{head}");
        // Those who need no hashing are let in meanwhile, on the same connection.
        client.send(with(GET, &format!("Proxy-Authorization: {}\r\n", basic("anna:plain:pass")))).await;
        assert!(client.response().await.0.starts_with("HTTP/1.1 200 "));
        // No 407, so a CONNECT ends the connection like any that is refused.
        client.send(with(CONNECT, &bert)).await;
        let (head, _) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nConnection: close\r\n"), "{head}");
        assert_eq!(client.rest().await.unwrap(), b"");
        assert_eq!(served(&journal).await, 1);
    });
}

async fn start(config: Value, env: &Counting) -> Proxy<Counting> {
    Proxy::start(parse(&config), env.clone(), Arc::new(Ear::default())).await.unwrap()
}

/// The operating system, but it counts offloaded jobs, or has no room for any.
#[derive(Clone, Default)]
struct Counting {
    os: Os,
    room: bool,
    hashed: Arc<AtomicUsize>,
}

impl Env for Counting {
    type Stream = OsStream;
    type Listener = OsListener;

    async fn bind(&self, addr: SocketAddr) -> io::Result<OsListener> {
        self.os.bind(addr).await
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<OsStream> {
        self.os.connect(addr).await
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.os.resolve(host, port).await
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.os.spawn(task);
    }

    fn wall(&self) -> SystemTime {
        self.os.wall()
    }

    fn rand_u64(&self) -> u64 {
        self.os.rand_u64()
    }

    async fn offload<T, F>(&self, job: F) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        if !self.room {
            return Err(Busy);
        }
        self.hashed.fetch_add(1, Ordering::SeqCst);
        self.os.offload(job).await
    }

    fn relay<T>(
        &self,
        client: OsStream,
        upstream: OsStream,
        early: Early,
        limits: RelayLimits,
        traffic: T,
        stop: Stop,
    ) -> impl Future<Output = Relayed> + Send + use<T>
    where
        T: Deref<Target = Traffic> + Send + Sync + 'static,
    {
        self.os.relay(client, upstream, early, limits, traffic, stop)
    }
}
