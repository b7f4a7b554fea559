//! Provides mock upstreams in this process, and runs the binary as a user does.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, mpsc};
use std::time::SystemTime;

use assert_cmd::Command;
use mock_upstreams::journal::{Clock, DEFAULT_CAPACITY, Journal, Sink};
use mock_upstreams::upstream::{Auth, Settings, Upstream};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The longest a run may take: a watchdog, not a bound.
pub(crate) const WATCHDOG: std::time::Duration = std::time::Duration::from_secs(120);

/// A mock upstream on loopback until it is dropped; it is an HTTP proxy itself.
pub(crate) struct Proxy {
    pub(crate) address: String,
    pub(crate) journal: Arc<Journal>,
    _stop: oneshot::Sender<()>,
}

impl Proxy {
    pub(crate) fn start(auth: Option<&str>) -> Self {
        Self::named("one", auth, None)
    }

    /// One of that name, that writes its journal to `sink` as well.
    pub(crate) fn named(name: &'static str, auth: Option<&str>, sink: Option<Sink>) -> Self {
        let journal = Arc::new(Journal::new(name, clock(), DEFAULT_CAPACITY, sink));
        let settings = Settings { auth: auth.and_then(Auth::parse), ..Settings::default() };
        let upstream = Arc::new(Upstream::new(name, settings, journal.clone()));
        let (address, stop) = serve(async move |tell, stopped| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell(listener.local_addr().unwrap());
            mock_upstreams::listen::listen(listener, upstream, stopped).await;
        });
        Proxy { address, journal, _stop: stop }
    }

    /// Writes the certificate of `tls.mock` into `directory`.
    pub(crate) fn certificate(&self, directory: &Path) -> String {
        let path = directory.join("tls.pem");
        std::fs::write(&path, mock_upstreams::tls::authority_pem().unwrap()).unwrap();
        path.display().to_string()
    }
}

pub(crate) fn clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "stamps of a journal on real sockets")]
    Arc::new(SystemTime::now)
}

/// Runs `server` in a thread until what is returned is dropped; `tell` is to be told its address.
pub(crate) fn serve<S>(server: S) -> (String, oneshot::Sender<()>)
where
    S: AsyncFnOnce(Box<dyn FnOnce(SocketAddr)>, Stopped) + Send + 'static,
{
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stopped: Stopped = Box::pin(async {
            let _ = stopped.await;
        });
        runtime.block_on(server(Box::new(move |address: SocketAddr| tell.send(address).unwrap()), stopped));
    });
    (told.recv().unwrap().to_string(), stop)
}

pub(crate) type Stopped = std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// What the binary said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `loadgen run` without progress.
pub(crate) fn run(args: &[&str]) -> Output {
    loadgen(&[&["run", "--quiet"], args].concat())
}

pub(crate) fn loadgen(args: &[&str]) -> Output {
    let output = Command::cargo_bin("loadgen").unwrap().args(args).timeout(WATCHDOG).output().unwrap();
    Output {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The binary while it runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    progress: mpsc::Receiver<String>,
    report: mpsc::Receiver<String>,
}

impl Running {
    /// Starts `loadgen run` with progress in plain lines.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("loadgen"))
            .arg("run")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, progress) = mpsc::channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        let (text, report) = mpsc::channel();
        let mut output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut all = String::new();
            output.read_to_string(&mut all).unwrap();
            text.send(all)
        });
        Running { child, progress, report }
    }

    /// Waits for the next line of progress.
    pub(crate) fn progress(&self) -> String {
        self.progress.recv_timeout(WATCHDOG).unwrap()
    }

    /// Forgets the lines of progress that came so far.
    pub(crate) fn forget(&self) {
        self.progress.try_iter().for_each(drop);
    }

    /// Presses Ctrl-C, and waits for the end.
    pub(crate) fn interrupt(mut self) -> Output {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let stdout = self.report.recv_timeout(WATCHDOG).unwrap();
        let status = self.child.wait().unwrap().code().unwrap_or(-1);
        Output { status, stdout, stderr: self.progress.try_iter().collect::<Vec<_>>().join("\n") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
