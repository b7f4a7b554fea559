//! The proxy binary: arguments → configuration → operating system → run → exit code.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use proxy::config::{self, Loaded, Problems};
use proxy::daemon::activation;
use proxy::daemon::cli::{self, Command, Invocation, RunningProxy, View};
use proxy::daemon::control::{self, Answer, Request};
use proxy::daemon::flight::Recorder;
use proxy::daemon::log;
use proxy::daemon::serve::{Process, ProcessSignals, serve};
use proxy::daemon::service_manager::ServiceManager;
use proxy::daemon::view::{self, story};
use proxy::env::os::descriptors;
use proxy::{Order, TunnelFilter};
use tracing::warn;

/// How long `proxy healthcheck` waits.
const HEALTH_WAIT: Duration = Duration::from_secs(5);

/// The time between two looks of `--watch`.
const WATCH: Duration = Duration::from_secs(2);

/// How long `proxy reload` waits for the running proxy to take the configuration over; longer than that proxy does.
const RELOAD_WAIT: Duration = Duration::from_secs(65);

/// How long `proxy upgrade` waits for the next process to serve; longer than the running proxy does.
const UPGRADE_WAIT: Duration = Duration::from_secs(65);

/// musl's own allocator has one lock for all threads: a plain request took half as much processor time again (BENCHMARKS.md, "The static
/// binary"). Elsewhere the C library's is as good.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        Command::Run { config, take_over } => run(&config, take_over, warning),
        Command::Check { config } => {
            let outcome = config::load(&config).outcome;
            print(cli::check_report(&config, &outcome));
            Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(cli::EXIT_CONFIG) })
        }
        Command::Compare { proxy, config } => compare(proxy, &config),
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
        Command::Drain { proxy } => match ask(proxy, Request::Drain {}, HEALTH_WAIT)? {
            Answer::Draining {} => {
                print("draining");
                Ok(ExitCode::SUCCESS)
            }
            answer => Err(unexpected(&answer)),
        },
        Command::Upgrade { proxy } => match ask(proxy, Request::Upgrade {}, UPGRADE_WAIT)? {
            Answer::Upgraded { pid } => {
                print(format_args!("process {pid} has taken over"));
                Ok(ExitCode::SUCCESS)
            }
            answer => Err(unexpected(&answer)),
        },
        Command::Steer { proxy, upstream, order } => steer(proxy, upstream, order),
        Command::CloseTunnels { proxy, which } => close_tunnels(proxy, which),
        Command::LogLevel { proxy, level } => log_level(proxy, level),
        Command::Show { proxy, view, watch } => show(proxy, view, watch),
        Command::Requests { proxy, failed, json } => {
            tell(proxy, Request::Requests { failed }, if json { Ok } else { story::table })
        }
        Command::Record { proxy, out } => record(proxy, out),
        Command::Explain { proxy, request, json } => {
            tell(proxy, Request::Explain { request }, if json { Ok } else { story::told })
        }
    }
}

/// Asks a running proxy over its control socket.
fn ask(proxy: RunningProxy, request: Request, patience: Duration) -> Result<Answer, CommandError> {
    let path = control_socket(proxy)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(other)?;
    runtime.block_on(control::ask(&path, request, patience)).map_err(CommandError::Other)
}

fn control_socket(proxy: RunningProxy) -> Result<PathBuf, CommandError> {
    match proxy {
        RunningProxy::Socket(path) => Ok(path),
        RunningProxy::Config(config) => config::control_socket(&config).map_err(CommandError::Other),
    }
}

/// Writes the last events of a running proxy to a new file, or to standard output.
fn record(proxy: RunningProxy, out: Option<PathBuf>) -> Result<ExitCode, CommandError> {
    let path = control_socket(proxy)?;
    let is_begun = Cell::new(false);
    let open = || -> io::Result<Box<dyn Write>> {
        let Some(out) = &out else { return Ok(Box::new(io::stdout())) };
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(out);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", out.display()));
        let file = file.map_err(named)?;
        is_begun.set(true);
        Ok(Box::new(file))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(other)?;
    let recorded = runtime.block_on(control::record(&path, open, HEALTH_WAIT));
    if let (Err(_), true, Some(out)) = (&recorded, is_begun.get(), &out) {
        // Half a record looks like a whole one.
        let _ = std::fs::remove_file(out);
    }
    let recorded = recorded.map_err(CommandError::Other)?;
    if recorded.missed > 0 {
        print_error(format_args!("proxy: warning: {} events could not be remembered since the start", recorded.missed));
    }
    if let Some(out) = out {
        print(format_args!("{}: {} events", out.display(), recorded.events));
    }
    Ok(ExitCode::SUCCESS)
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

/// Says what a reload with the file at `path` would change in a running proxy.
fn compare(proxy: RunningProxy, path: &Path) -> Result<ExitCode, CommandError> {
    let file = path.display();
    // To that process the names of this one's pipes (`<(…)`, `/dev/stdin`) are those of other files, or of none.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(other(format_args!("{file}: is no regular file, and the running proxy has to open it itself")));
    }
    let path = std::path::absolute(path).map_err(other)?;
    match ask(proxy, Request::Compare { path }, RELOAD_WAIT)? {
        Answer::Compared { changes, by_hand, restart_required, warnings } => {
            for warning in warnings {
                print(format_args!("{file}: warning: {warning}"));
            }
            if changes.is_empty() && by_hand.is_empty() && restart_required.is_empty() {
                print(format_args!("{file}: a reload would change nothing"));
                return Ok(ExitCode::SUCCESS);
            }
            print(format_args!("{file}: a reload would change the running proxy"));
            changes.iter().for_each(print);
            for what in by_hand {
                print(format_args!("was set by hand and would end: {what}"));
            }
            for what in restart_required {
                print(format_args!("needs a restart, the old value would stay: {what}"));
            }
            Ok(ExitCode::from(cli::EXIT_DIFFERS))
        }
        Answer::Refused { problems } => {
            print_error(problems);
            Ok(ExitCode::from(cli::EXIT_CONFIG))
        }
        answer => Err(unexpected(&answer)),
    }
}

/// Sets an upstream of a running proxy by hand.
fn steer(proxy: RunningProxy, upstream: String, order: Order) -> Result<ExitCode, CommandError> {
    match ask(proxy, Request::Steer { upstream, order }, HEALTH_WAIT)? {
        Answer::Steered { change, warnings } => {
            print(change);
            for warning in warnings {
                print_error(format_args!("proxy: warning: {warning}"));
            }
            Ok(ExitCode::SUCCESS)
        }
        answer => Err(unexpected(&answer)),
    }
}

/// Closes tunnels of a running proxy.
fn close_tunnels(proxy: RunningProxy, which: TunnelFilter) -> Result<ExitCode, CommandError> {
    match ask(proxy, Request::CloseTunnels { which }, HEALTH_WAIT)? {
        Answer::TunnelsClosed { closed } => {
            print(format_args!("{closed} {} closed", if closed == 1 { "tunnel" } else { "tunnels" }));
            Ok(ExitCode::SUCCESS)
        }
        answer => Err(unexpected(&answer)),
    }
}

/// Says the level of a running proxy's log, or sets another one.
fn log_level(proxy: RunningProxy, wanted: Option<String>) -> Result<ExitCode, CommandError> {
    match ask(proxy, Request::LogLevel { level: wanted.clone() }, HEALTH_WAIT)? {
        Answer::LogLevel { level } => {
            match wanted {
                Some(wanted) => print(format_args!("{level} → {wanted}")),
                None => print(level),
            }
            Ok(ExitCode::SUCCESS)
        }
        answer => Err(unexpected(&answer)),
    }
}

/// Shows what the running proxy does and has counted, once or again and again.
#[expect(clippy::disallowed_methods, reason = "this process serves nobody, and has no runtime while it waits")]
fn show(proxy: RunningProxy, view: View, watch: bool) -> Result<ExitCode, CommandError> {
    let of_tunnels = matches!(view, View::Tunnels | View::TunnelsAsJson);
    loop {
        let request = if of_tunnels { Request::Tunnels {} } else { Request::Statistics {} };
        let page = match ask(proxy.clone(), request, HEALTH_WAIT)? {
            Answer::Statistics { page } | Answer::Tunnels { page } => page,
            answer => return Err(unexpected(&answer)),
        };
        let text = view::show(view, &page).map_err(other)?;
        // Where nobody reads any more, there is nobody to show it to.
        let read = writeln!(std::io::stdout(), "{}", text.trim_end()).is_ok();
        if !watch || !read {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(WATCH);
    }
}

/// Tells what the running proxy remembers of its last requests, in the words of `told`.
fn tell(
    proxy: RunningProxy,
    request: Request,
    told: fn(String) -> Result<String, serde_json::Error>,
) -> Result<ExitCode, CommandError> {
    match ask(proxy, request, HEALTH_WAIT)? {
        Answer::Requests { page } => {
            print(told(page).map_err(other)?.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        answer => Err(unexpected(&answer)),
    }
}

fn unexpected(answer: &Answer) -> CommandError {
    CommandError::Other(format!("the running proxy answered another question: {answer:?}"))
}

fn run(path: &Path, take_over: bool, warning: Option<String>) -> Result<ExitCode, CommandError> {
    // Before there are other threads.
    let listener = activation::passed_listener().map_err(CommandError::Other)?;
    let Loaded { outcome, files } = config::load(path);
    let config = outcome?;
    let log::Installed { log, control, flush } = log::install(&config.logging).map_err(CommandError::Other)?;
    let recorder = config.flight_recorder.as_ref().map(Recorder::new).transpose().map_err(CommandError::Other)?;
    let manager = Arc::new(ServiceManager::from_env());
    if let Some(warning) = warning {
        warn!("{warning}");
    }
    for warning in &config.warnings {
        warn!("{}: {warning}", path.display());
    }
    if let Err(error) = descriptors::raise_nofile() {
        warn!("the descriptor limit stays at {}: {error}", descriptors::nofile());
    }
    let runtime = proxy::env::os::runtime().map_err(other)?;
    let signals = {
        let _runtime = runtime.enter();
        ProcessSignals::handle().map_err(other)?
    };
    let process =
        Process { signals, log, log_control: control, recorder: recorder.map(Arc::new), manager, listener, take_over };
    let served = runtime.block_on(serve(path, config, files, process));
    // A name lookup or a read from a dead file system may hang: what still runs here is not waited for.
    runtime.shutdown_background();
    // The last lines are written here.
    drop(flush);
    served.map(|()| ExitCode::SUCCESS).map_err(CommandError::Other)
}
