//! The proxy binary: arguments → configuration → operating system → run → exit code.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use proxy::cli::{self, Command};
use proxy::config::{self, Config, PidFile as PidPath, Problems};
use proxy::env::os::Os;
use proxy::log::{self, Log};
use proxy::pidfile::{self, PidFile};
use proxy::proxy::Proxy;
use proxy::watch::Changes;
use proxy::{control, rlimit};
use rustix::process::{Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

/// Where the PID goes unless configured.
const PID_FILE: &str = "proxy.pid";

/// How long `proxy reload` waits for the running proxy to take the configuration over.
const RELOAD_WAIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let command = match Command::read(std::env::args_os(), std::env::var_os(cli::CONFIG_VARIABLE)) {
        Ok(command) => command,
        Err(error) => {
            // Where even standard error is gone, the exit code has to do.
            let _ = error.print();
            return ExitCode::from(cli::exit_code(&error));
        }
    };
    match carry_out(command) {
        Ok(code) => code,
        Err(Failed::Configuration(problems)) => {
            eprintln!("{problems}");
            ExitCode::from(cli::EXIT_CONFIG)
        }
        Err(Failed::Other(text)) => {
            eprintln!("proxy: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Why nothing came of a command.
enum Failed {
    Configuration(Problems),
    Other(String),
}

impl From<Problems> for Failed {
    fn from(problems: Problems) -> Self {
        Failed::Configuration(problems)
    }
}

fn other(error: impl std::fmt::Display) -> Failed {
    Failed::Other(error.to_string())
}

fn carry_out(command: Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Run { config } => run(&config),
        Command::Check { config } => {
            let outcome = config::load(&config);
            println!("{}", cli::check_report(&config, &outcome));
            Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(cli::EXIT_CONFIG) })
        }
        Command::Schema => {
            let text = serde_json::to_string_pretty(config::schema().as_value()).map_err(other)?;
            // A reader that has seen enough (`| head`) is no failure.
            let _ = writeln!(std::io::stdout(), "{text}");
            Ok(ExitCode::SUCCESS)
        }
        Command::HashPassword => {
            let mut password = String::new();
            std::io::stdin().read_to_string(&mut password).map_err(other)?;
            let password = password.strip_suffix('\n').unwrap_or(&password);
            let password = password.strip_suffix('\r').unwrap_or(password);
            println!("{}", config::hash_password(password).map_err(Failed::Other)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Healthcheck { config } => {
            let config = config::load(&config)?;
            let health = runtime()?.block_on(control::health(&config)).map_err(Failed::Other)?;
            println!("{} (configuration {})", health.status, health.config_epoch);
            Ok(ExitCode::SUCCESS)
        }
        Command::Reload { config } => reload(&config),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(other)
}

/// Has the running proxy read its configuration, and waits until it has said what came of it.
fn reload(path: &Path) -> Result<ExitCode, Failed> {
    let config = config::load(path)?;
    let pid_path = match &config.server.pid_file {
        PidPath::Default => PathBuf::from(PID_FILE),
        PidPath::At(path) => path.clone(),
        PidPath::Off => return Err(other("server.pid_file is empty, so the running proxy can't be found")),
    };
    let pid = pidfile::read(&pid_path).map_err(other)?;
    runtime()?.block_on(async {
        let before = control::health(&config).await.map_err(Failed::Other)?;
        kill_process(pid, Signal::HUP).map_err(other)?;
        let deadline = tokio::time::Instant::now() + RELOAD_WAIT;
        while tokio::time::Instant::now() < deadline {
            let now = control::health(&config).await.map_err(Failed::Other)?;
            if now.reloads > before.reloads {
                return if now.reload_failed {
                    Err(other("the running proxy refused the configuration; its log says why"))
                } else {
                    println!("reloaded (configuration {})", now.config_epoch);
                    Ok(ExitCode::SUCCESS)
                };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(other("the running proxy did not take the configuration over in time"))
    })
}

fn run(path: &Path) -> Result<ExitCode, Failed> {
    let config = config::load(path)?;
    log::install(&config.logging).map_err(Failed::Other)?;
    for warning in &config.warnings {
        warn!("{}: {warning}", path.display());
    }
    if let Err(error) = rlimit::raise_nofile() {
        warn!("the descriptor limit stays at {}: {error}", rlimit::nofile());
    }
    let pid_file = write_pid(&config)?;
    let code = runtime()?.block_on(serve(path, config));
    drop(pid_file);
    code
}

/// The PID file; one that nobody asked for may fail to be written.
fn write_pid(config: &Config) -> Result<Option<PidFile>, Failed> {
    match &config.server.pid_file {
        PidPath::Off => Ok(None),
        PidPath::At(path) => PidFile::create(path).map(Some).map_err(other),
        PidPath::Default => match PidFile::create(Path::new(PID_FILE)) {
            Ok(file) => Ok(Some(file)),
            Err(error) => {
                warn!("no PID file: {error}");
                Ok(None)
            }
        },
    }
}

async fn serve(path: &Path, config: Config) -> Result<ExitCode, Failed> {
    let mut hangup = signal(SignalKind::hangup()).map_err(other)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(other)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(other)?;
    let mut source = Source::new(path, &config);
    let name = config.server.name.clone();
    let upstreams = config.upstreams.len();
    let proxy = Proxy::start(config, Os::new(), Arc::new(Log)).await.map_err(other)?;
    info!(name, listen = %proxy.local_addr(), upstreams, config = %path.display(), "netdrift {}", env!("CARGO_PKG_VERSION"));
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => source.reload(&proxy, true).await,
            () = source.changes.next() => source.reload(&proxy, false).await,
        }
    }
    tokio::select! {
        biased;
        reset = proxy.drain() => info!(reset, "stopped"),
        _ = terminate.recv() => warn!("stopped at once by a second signal"),
        _ = interrupt.recv() => warn!("stopped at once by a second signal"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the configuration comes from, and what it was made of when it was last read.
struct Source {
    path: PathBuf,
    changes: Changes,
    last: Vec<Option<Vec<u8>>>,
}

impl Source {
    fn new(path: &Path, config: &Config) -> Self {
        let files = files(path, config);
        let changes = Changes::watch(&files);
        if let Some(trouble) = changes.trouble() {
            warn!("files are looked at every few seconds only: {trouble}");
        }
        Source { last: contents(&files), path: path.to_owned(), changes }
    }

    /// Reads the configuration and puts it in force. Without `asked` only where a file's bytes have changed: a folder
    /// stirs for many reasons.
    async fn reload(&mut self, proxy: &Proxy<Os>, asked: bool) {
        let path = self.path.clone();
        #[expect(clippy::disallowed_methods, reason = "files are read off the runtime; only the binary does so")]
        let read = tokio::task::spawn_blocking(move || {
            let outcome = config::load(&path);
            let files = outcome.as_ref().map_or_else(|_| vec![path.clone()], |config| files(&path, config));
            (outcome, contents(&files), files)
        });
        let Ok((outcome, contents, files)) = read.await else { return };
        if !asked && contents == self.last {
            return;
        }
        match outcome {
            Ok(config) => {
                for warning in &config.warnings {
                    warn!("{}: {warning}", self.path.display());
                }
                // A refusal is told by the proxy itself.
                if proxy.reload(config).is_ok() {
                    self.changes.set_paths(&files);
                }
            }
            Err(problems) => proxy.refuse_reload(&problems.to_string()),
        }
        self.last = contents;
    }
}

fn files(path: &Path, config: &Config) -> Vec<PathBuf> {
    std::iter::once(path.to_owned()).chain(config.sources.iter().cloned()).collect()
}

fn contents(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}
