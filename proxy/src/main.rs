//! The proxy binary: arguments → configuration → operating system → run → exit code.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use proxy::Proxy;
use proxy::config::{self, Config, Files, Loaded, PidFile as PidPath, Problems};
use proxy::daemon::cli::{self, Command};
use proxy::daemon::control;
use proxy::daemon::log::{self, Log};
use proxy::daemon::pidfile::{self, PidFile, PidFileError};
use proxy::daemon::watch::Changes;
use proxy::env::os::{Os, descriptors};
use rustix::process::{Signal, kill_process};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
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
        Err(CommandError::Configuration(problems)) => {
            print_error(problems);
            ExitCode::from(cli::EXIT_CONFIG)
        }
        Err(CommandError::Other(text)) => {
            print_error(format_args!("proxy: {text}"));
            ExitCode::FAILURE
        }
    }
}

/// Why a command failed.
enum CommandError {
    Configuration(Problems),
    Other(String),
}

impl From<Problems> for CommandError {
    fn from(problems: Problems) -> Self {
        CommandError::Configuration(problems)
    }
}

fn other(error: impl std::fmt::Display) -> CommandError {
    CommandError::Other(error.to_string())
}

/// Prints a line. If the reader has gone (`| head`), that is no failure, and no reason to panic as `println!` does.
fn print(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn print_error(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn carry_out(command: Command) -> Result<ExitCode, CommandError> {
    match command {
        Command::Run { config } => run(&config),
        Command::Check { config } => {
            let outcome = config::load(&config).outcome;
            print(cli::check_report(&config, &outcome));
            Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(cli::EXIT_CONFIG) })
        }
        Command::Schema => {
            print(serde_json::to_string_pretty(config::schema().as_value()).map_err(other)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::HashPassword => {
            let mut password = String::new();
            std::io::stdin().read_to_string(&mut password).map_err(other)?;
            let password = password.strip_suffix('\n').unwrap_or(&password);
            let password = password.strip_suffix('\r').unwrap_or(password);
            print(config::hash_password(password).map_err(CommandError::Other)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Healthcheck { config } => {
            let listen = config::listen_address(&config).map_err(CommandError::Other)?;
            let health = small_runtime()?.block_on(control::health(listen)).map_err(CommandError::Other)?;
            print(format_args!("{} (configuration {})", health.status, health.config_epoch));
            Ok(ExitCode::SUCCESS)
        }
        Command::Reload { config } => reload(&config),
    }
}

/// For one question to a running proxy.
fn small_runtime() -> Result<Runtime, CommandError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(other)
}

/// Has the running proxy read its configuration, and waits until it has said what came of it.
fn reload(path: &Path) -> Result<ExitCode, CommandError> {
    let config = config::load(path).outcome?;
    let pid_path = match &config.server.pid_file {
        PidPath::Default => PathBuf::from(PID_FILE),
        PidPath::At(path) => path.clone(),
        PidPath::Off => return Err(other("server.pid_file is empty, so the running proxy can't be found")),
    };
    let pid = pidfile::read(&pid_path).map_err(other)?;
    small_runtime()?.block_on(async {
        let before = control::health(config.server.listen).await.map_err(CommandError::Other)?;
        kill_process(pid, Signal::HUP).map_err(other)?;
        let deadline = tokio::time::Instant::now() + RELOAD_WAIT;
        while tokio::time::Instant::now() < deadline {
            let now = control::health(config.server.listen).await.map_err(CommandError::Other)?;
            if now.reloads > before.reloads {
                return if now.reload_failed {
                    Err(other("the running proxy refused the configuration; its log says why"))
                } else {
                    print(format_args!("reloaded (configuration {})", now.config_epoch));
                    Ok(ExitCode::SUCCESS)
                };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(other("the running proxy did not take the configuration over in time"))
    })
}

fn run(path: &Path) -> Result<ExitCode, CommandError> {
    let Loaded { outcome, files } = config::load(path);
    let config = outcome?;
    let log = log::install(&config.logging).map_err(CommandError::Other)?;
    for warning in &config.warnings {
        warn!("{}: {warning}", path.display());
    }
    if let Err(error) = descriptors::raise_nofile() {
        warn!("the descriptor limit stays at {}: {error}", descriptors::nofile());
    }
    let pid_file = write_pid(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(other)?;
    let code = runtime.block_on(serve(path, config, files));
    // A name lookup or a read from a dead file system may hang, so this does not wait for what still runs.
    runtime.shutdown_background();
    drop(pid_file);
    // The last lines are written here.
    drop(log);
    code
}

/// Writes the PID file. If its path is the default, a failure is only warned about; a second proxy on it is refused.
fn write_pid(config: &Config) -> Result<Option<PidFile>, CommandError> {
    match &config.server.pid_file {
        PidPath::Off => Ok(None),
        PidPath::At(path) => PidFile::create(path).map(Some).map_err(other),
        PidPath::Default => match PidFile::create(Path::new(PID_FILE)) {
            Ok(file) => Ok(Some(file)),
            Err(error @ PidFileError::AlreadyRunning { .. }) => Err(other(error)),
            Err(error) => {
                warn!("no PID file: {error}");
                Ok(None)
            }
        },
    }
}

/// The signals that end a proxy.
struct StopSignals {
    terminate: Signals,
    interrupt: Signals,
}

impl StopSignals {
    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn serve(path: &Path, config: Config, files: Files) -> Result<ExitCode, CommandError> {
    let mut hangup = signal(SignalKind::hangup()).map_err(other)?;
    let mut stop_signals = StopSignals {
        terminate: signal(SignalKind::terminate()).map_err(other)?,
        interrupt: signal(SignalKind::interrupt()).map_err(other)?,
    };
    let name = config.server.name.clone();
    let upstreams = config.upstreams.len();
    let proxy = Proxy::start(config, Os::new(), Arc::new(Log)).await.map_err(other)?;
    let mut source = Source::watch(path, files);
    info!(
        name,
        listen = %proxy.local_addr(),
        upstreams,
        config = %path.display(),
        event = "started",
        "netdrift {}",
        env!("CARGO_PKG_VERSION")
    );
    loop {
        let asked = tokio::select! {
            biased;
            () = stop_signals.next() => break,
            _ = hangup.recv() => true,
            () = source.changes.next() => false,
        };
        tokio::select! {
            biased;
            () = stop_signals.next() => break,
            () = source.reload(&proxy, asked) => {}
        }
    }
    tokio::select! {
        biased;
        reset = proxy.drain() => info!(reset, "stopped"),
        () = stop_signals.next() => warn!("stopped at once by a second signal"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the configuration comes from, and what it was made of when it was last read.
struct Source {
    path: PathBuf,
    files: Files,
    changes: Changes,
}

impl Source {
    /// Watches the `files` that the configuration at `path` was read from.
    fn watch(path: &Path, files: Files) -> Self {
        let changes = Changes::watch(&files.paths());
        // The files may have changed since they were read.
        changes.touch();
        if let Some(reason) = changes.fallback_reason() {
            warn!("files are looked at every few seconds only: {reason}");
        }
        Source { path: path.to_owned(), files, changes }
    }

    /// Reads the configuration and puts it in force. Unless a signal `asked` for it, it does so only if the bytes of a
    /// file have changed: notifications come for many reasons.
    async fn reload(&mut self, proxy: &Proxy<Os>, asked: bool) {
        let path = self.path.clone();
        #[expect(clippy::disallowed_methods, reason = "files are read off the runtime; only the binary does so")]
        let read = tokio::task::spawn_blocking(move || config::load(&path));
        let Ok(Loaded { outcome, files }) = read.await else { return };
        if !asked && files == self.files {
            return;
        }
        if files.paths() != self.files.paths() {
            self.changes.set_paths(&files.paths());
            self.changes.touch();
        }
        self.files = files;
        match outcome {
            Ok(config) => {
                for warning in &config.warnings {
                    warn!("{}: {warning}", self.path.display());
                }
                // The proxy itself reports a refusal to its observer.
                let _ = proxy.reload(config);
            }
            Err(problems) => proxy.refuse_reload(&problems.to_string()),
        }
    }
}
