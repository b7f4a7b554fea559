//! The proxy binary: arguments → configuration → operating system → run → exit code.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use proxy::config::{self, Config, Files, Loaded, Problems, ProcessFile};
use proxy::daemon::cli::{self, Command, Invocation, RunningProxy};
use proxy::daemon::control::{self, Answer, ControlSocket, PendingReload, Request};
use proxy::daemon::log::{self, Log};
use proxy::daemon::pidfile::{PidFile, PidFileError};
use proxy::daemon::watch::Changes;
use proxy::env::os::{Os, descriptors};
use proxy::{Proxy, Reloaded};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// How long `proxy healthcheck` waits.
const HEALTH_WAIT: Duration = Duration::from_secs(5);

/// How long `proxy reload` waits for the running proxy to take the configuration over; longer than that proxy does.
const RELOAD_WAIT: Duration = Duration::from_secs(65);

fn main() -> ExitCode {
    let invocation = match Invocation::read(std::env::args_os(), std::env::var_os(cli::CONFIG_VARIABLE)) {
        Ok(invocation) => invocation,
        Err(error) => {
            // Where even standard error is gone, the exit code has to do.
            let _ = error.print();
            return ExitCode::from(cli::exit_code(&error));
        }
    };
    match carry_out(invocation) {
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

fn carry_out(Invocation { command, warning }: Invocation) -> Result<ExitCode, CommandError> {
    // A proxy that serves puts it into its log.
    if let Some(warning) = warning.as_ref().filter(|_| !matches!(command, Command::Run { .. })) {
        print_error(format_args!("proxy: warning: {warning}"));
    }
    match command {
        Command::Run { config } => run(&config, warning),
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
        Command::Healthcheck { proxy } => healthcheck(proxy),
        Command::Reload { proxy } => reload(proxy),
    }
}

/// Asks a running proxy over its control socket.
fn ask(proxy: RunningProxy, request: Request, patience: Duration) -> Result<Answer, CommandError> {
    let path = match proxy {
        RunningProxy::Socket(path) => path,
        RunningProxy::Config(config) => config::control_socket(&config).map_err(CommandError::Other)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(other)?;
    runtime.block_on(control::ask(&path, request, patience)).map_err(CommandError::Other)
}

fn healthcheck(proxy: RunningProxy) -> Result<ExitCode, CommandError> {
    match ask(proxy, Request::Health {}, HEALTH_WAIT)? {
        Answer::Health(health) => {
            print(format_args!("{} (configuration {})", health.status, health.config_epoch));
            Ok(ExitCode::SUCCESS)
        }
        answer => Err(unexpected(&answer)),
    }
}

/// Has the running proxy read its configuration, and tells what came of it.
fn reload(proxy: RunningProxy) -> Result<ExitCode, CommandError> {
    match ask(proxy, Request::Reload {}, RELOAD_WAIT)? {
        Answer::Reloaded { config_epoch, changes, restart_required, warnings } => {
            print(format_args!("reloaded (configuration {config_epoch})"));
            changes.iter().for_each(print);
            for what in restart_required {
                print(format_args!("needs a restart, the old value stays: {what}"));
            }
            for warning in warnings {
                print(format_args!("warning: {warning}"));
            }
            Ok(ExitCode::SUCCESS)
        }
        Answer::Refused { problems } => {
            print_error(problems);
            print_error("proxy: the configuration was refused; the old one stays in force");
            Ok(ExitCode::from(cli::EXIT_CONFIG))
        }
        answer => Err(unexpected(&answer)),
    }
}

fn unexpected(answer: &Answer) -> CommandError {
    CommandError::Other(format!("the running proxy answered another question: {answer:?}"))
}

fn run(path: &Path, warning: Option<String>) -> Result<ExitCode, CommandError> {
    let Loaded { outcome, files } = config::load(path);
    let config = outcome?;
    let (log, flush) = log::install(&config.logging).map_err(CommandError::Other)?;
    if let Some(warning) = warning {
        warn!("{warning}");
    }
    for warning in &config.warnings {
        warn!("{}: {warning}", path.display());
    }
    if let Err(error) = descriptors::raise_nofile() {
        warn!("the descriptor limit stays at {}: {error}", descriptors::nofile());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(other)?;
    let signals = {
        let _runtime = runtime.enter();
        ProcessSignals::handle().map_err(other)?
    };
    let pid_file = write_pid(&config, &signals)?;
    let control = open_control(&config)?;
    let code = runtime.block_on(serve(path, config, files, control.as_ref(), (signals, log)));
    // A name lookup or a read from a dead file system may hang: what still runs here is not waited for.
    runtime.shutdown_background();
    drop(control);
    drop(pid_file);
    // The last lines are written here.
    drop(flush);
    code
}

/// Writes the PID file. If its path is the default, a failure is only warned about; a second proxy on it is refused.
///
/// It asks for the `_handled` signals because whoever can learn whom to signal may do so at once: without a handler, a signal
/// kills.
fn write_pid(config: &Config, _handled: &ProcessSignals) -> Result<Option<PidFile>, CommandError> {
    let Some(path) = config.server.pid_file_path() else { return Ok(None) };
    match PidFile::create(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_wanted(&config.server.pid_file) || matches!(error, PidFileError::AlreadyRunning { .. }) => {
            Err(other(error))
        }
        Err(error) => {
            warn!("no PID file: {error}");
            Ok(None)
        }
    }
}

/// The control socket; one that nobody asked for may fail to be made. Where another proxy in the same folder has it,
/// this one is not to be started twice only because of that: the PID file sees to it where it is wanted.
fn open_control(config: &Config) -> Result<Option<ControlSocket>, CommandError> {
    let Some(path) = config.server.control_socket_path() else { return Ok(None) };
    match ControlSocket::create(&path) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if is_wanted(&config.server.control_socket) => Err(other(error)),
        Err(error) => {
            warn!("no control socket, so `proxy reload` and `proxy healthcheck` can't reach this proxy: {error}");
            Ok(None)
        }
    }
}

/// Whether it was asked for, so that going without it is an error.
fn is_wanted(file: &ProcessFile) -> bool {
    matches!(file, ProcessFile::At(_))
}

/// Every signal that has a meaning here.
struct ProcessSignals {
    hangup: Signals,
    stop: StopSignals,
    ignored: IgnoredSignals,
}

impl ProcessSignals {
    /// Handles them from now on; one that comes before it is waited for is kept.
    fn handle() -> io::Result<Self> {
        Ok(ProcessSignals {
            hangup: signal(SignalKind::hangup())?,
            stop: StopSignals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                quit: signal(SignalKind::quit())?,
            },
            ignored: IgnoredSignals {
                user1: signal(SignalKind::user_defined1())?,
                user2: signal(SignalKind::user_defined2())?,
            },
        })
    }
}

/// The signals that end a proxy.
struct StopSignals {
    terminate: Signals,
    interrupt: Signals,
    quit: Signals,
}

impl StopSignals {
    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

/// Signals that do nothing here. By default they would kill the proxy without a drain; other servers take them for
/// opening log files again, or for a new binary.
struct IgnoredSignals {
    user1: Signals,
    user2: Signals,
}

impl IgnoredSignals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.user1.recv() => "SIGUSR1",
            _ = self.user2.recv() => "SIGUSR2",
        }
    }
}

/// Why the configuration is read again.
enum Trigger {
    /// SIGHUP.
    Signal,
    /// Somebody waits for the outcome.
    Command(PendingReload),
    /// A file may have changed.
    Files,
}

async fn serve(
    path: &Path,
    config: Config,
    files: Files,
    control: Option<&ControlSocket>,
    (signals, log): (ProcessSignals, Log),
) -> Result<ExitCode, CommandError> {
    let ProcessSignals { mut hangup, stop: mut stop_signals, mut ignored } = signals;
    let name = config.server.name.clone();
    let upstreams = config.upstreams.len();
    let proxy = Arc::new(Proxy::start(config, Os::new(), Arc::new(log)).await.map_err(other)?);
    let mut commands = match control {
        Some(socket) => control::serve(socket, Arc::clone(&proxy)).map_err(other)?,
        None => mpsc::channel(1).1,
    };
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
        let trigger = tokio::select! {
            biased;
            () = stop_signals.next() => break,
            name = ignored.next() => {
                info!("{name} does nothing here");
                continue;
            }
            _ = hangup.recv() => Trigger::Signal,
            Some(pending) = commands.recv() => Trigger::Command(pending),
            () = source.changes.next() => Trigger::Files,
        };
        let outcome = tokio::select! {
            biased;
            () = stop_signals.next() => break,
            outcome = source.reload(&proxy, !matches!(trigger, Trigger::Files)) => outcome,
        };
        if let (Trigger::Command(pending), Some(answer)) = (trigger, outcome) {
            pending.answer(answer);
        }
    }
    // Whoever waits for a reload is told that there will be none.
    drop(commands);
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

    /// Reads the configuration and puts it in force. Unless it was `asked` for, it does so only if the bytes of a
    /// file have changed, and returns `None` if they have not: notifications come for many reasons.
    async fn reload(&mut self, proxy: &Proxy<Os>, asked: bool) -> Option<Answer> {
        let path = self.path.clone();
        #[expect(clippy::disallowed_methods, reason = "files are read off the runtime; only the binary does so")]
        let read = tokio::task::spawn_blocking(move || config::load(&path));
        let Loaded { outcome, files } = match read.await {
            Ok(loaded) => loaded,
            Err(error) => return Some(Answer::Error { error: error.to_string() }),
        };
        if !asked && files == self.files {
            return None;
        }
        if files.paths() != self.files.paths() {
            self.changes.set_paths(&files.paths());
            self.changes.touch();
        }
        self.files = files;
        let config = match outcome {
            Ok(config) => config,
            Err(problems) => {
                let problems = problems.to_string();
                proxy.refuse_reload(&problems);
                return Some(Answer::Refused { problems });
            }
        };
        for warning in &config.warnings {
            warn!("{}: {warning}", self.path.display());
        }
        let warnings = config.warnings.clone();
        Some(match proxy.reload(config) {
            Ok(Reloaded { config_epoch, changes, restart_required }) => {
                Answer::Reloaded { config_epoch, changes, restart_required, warnings }
            }
            // The proxy itself has told of it.
            Err(error) => Answer::Refused { problems: error.to_string() },
        })
    }
}
