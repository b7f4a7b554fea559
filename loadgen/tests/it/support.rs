//! A mock upstream in this process, and the binary as a user runs it.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use assert_cmd::Command;
use mock_upstreams::journal::{Clock, DEFAULT_CAPACITY, Journal};
use mock_upstreams::upstream::{Auth, Settings, Upstream};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The longest a run may take: a watchdog, not a bound.
const WATCHDOG: std::time::Duration = std::time::Duration::from_secs(120);

/// An HTTP proxy on loopback until it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: String,
    pub(crate) journal: Arc<Journal>,
    _stop: oneshot::Sender<()>,
}

impl Proxy {
    pub(crate) fn start(auth: Option<&str>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "stamps of a journal on real sockets")]
        let clock: Clock = Arc::new(SystemTime::now);
        let journal = Arc::new(Journal::new("one", clock, DEFAULT_CAPACITY, None));
        let settings = Settings { auth: auth.and_then(Auth::parse), ..Settings::default() };
        let upstream = Arc::new(Upstream::new("one", settings, journal.clone()));
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap().to_string()).unwrap();
                let until = async {
                    let _ = stopped.await;
                };
                mock_upstreams::listen::listen(listener, upstream, until).await;
            });
        });
        Proxy { address: told.recv().unwrap(), journal, _stop: stop }
    }

    /// Writes the certificate of `tls.mock` into `directory`.
    pub(crate) fn certificate(&self, directory: &Path) -> String {
        let path = directory.join("tls.pem");
        std::fs::write(&path, mock_upstreams::target::tls::certificate_pem().unwrap()).unwrap();
        path.display().to_string()
    }
}

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
