//! Reads the command line into a [`Command`]; `main` carries it out.

mod by_hand;
mod command;
mod running;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Authentication, Config, Problems};
use crate::event::RequestId;
use by_hand::{Steering, TunnelsVerb};
use running::Running;

pub use command::{Command, View};
pub use running::RunningProxy;

/// Exit code for arguments that make no sense (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: u8 = 64;
/// Exit code for a configuration that can't be run (EX_CONFIG of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

/// Exit code where a reload would change something.
pub const EXIT_DIFFERS: u8 = 2;

/// The variable that names the configuration file; it beats the flag.
pub const CONFIG_VARIABLE: &str = "PROXY_CONFIG";
/// The flag by which a process takes over from the running one.
pub(crate) const TAKE_OVER: &str = "--take-over";
/// The configuration file where neither variable nor flag names one.
pub const DEFAULT_CONFIG: &str = "configs/us.json";

/// A command, and what to warn of before it is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// Why it is perhaps not what was meant.
    pub warning: Option<String>,
}

/// netdrift: a forward proxy that spreads traffic over upstream proxies by weight
#[derive(Parser)]
#[command(name = "proxy", version)]
struct Args {
    /// Configuration file; PROXY_CONFIG beats it [default: configs/us.json]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Check the configuration, say every problem, and exit (0, or 78 with problems)
    #[arg(long, conflicts_with = "schema")]
    check: bool,
    /// Print the JSON Schema of the configuration and exit
    #[arg(long)]
    schema: bool,
    /// Take the listening socket over from the running proxy, which ends with its last connection
    #[arg(long, conflicts_with_all = ["check", "schema"])]
    take_over: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Check a configuration, say every problem, and exit (0, or 78 with problems)
    Check {
        /// The configuration file [default: as for everything else]
        file: Option<PathBuf>,
        /// Have the running proxy read it and say what a reload would change (exit 0 where nothing, else 2)
        #[arg(long)]
        against_running: bool,
        #[command(flatten)]
        running: Running,
    },
    /// Ask the running proxy whether it is healthy (exit 0 or 1)
    Healthcheck(Running),
    /// Have the running proxy read its configuration again, and wait for the outcome (0, 78 with problems, or 1)
    Reload(Running),
    /// Have the running proxy drain and end, as SIGTERM does (exit 0 once it drains)
    Drain(Running),
    /// Have the running proxy start its program anew, which takes over: for a new version (exit 0 once it serves, or 1)
    Upgrade(Running),
    /// Print the running proxy's statistics as JSON
    Stats(Shown),
    /// Print the running proxy's upstreams with their health, shares and last failures
    Upstreams {
        #[command(flatten)]
        shown: Shown,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the health of the running proxy's upstreams: who is out since when and why, and when it is probed next
    Health {
        #[command(flatten)]
        shown: Shown,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the running proxy's open tunnels, the oldest first, or close some
    #[command(args_conflicts_with_subcommands = true)]
    Tunnels {
        #[command(flatten)]
        shown: Shown,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(subcommand)]
        verb: Option<TunnelsVerb>,
    },
    /// Print the running proxy's last requests, the newest first
    Requests {
        #[command(flatten)]
        running: Running,
        /// Only those that did not go well
        #[arg(long)]
        failed: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Tell why one of the running proxy's last requests went where it did
    Explain {
        /// The request's number, as the log has it
        #[arg(value_name = "ID")]
        request: RequestId,
        #[command(flatten)]
        running: Running,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the last events that the running proxy's flight recorder remembers, as a log of JSON lines (exit 0 or 1)
    Record {
        #[command(flatten)]
        running: Running,
        /// A new file, for its owner alone [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Set one upstream of the running proxy by hand, until its configuration is read again (exit 0 or 1)
    #[command(subcommand)]
    Upstream(Steering),
    /// Print the level of the running proxy's log, or set another one until it ends (exit 0 or 1)
    LogLevel {
        #[command(flatten)]
        running: Running,
        /// off, error, warn, info, debug, trace, or a filter such as "info,proxy=debug"
        level: Option<String>,
    },
    /// Read a password from standard input and print its argon2id hash for the configuration
    HashPassword,
}

#[derive(clap::Args)]
struct Shown {
    #[command(flatten)]
    running: Running,
    /// Again every two seconds, until it is interrupted
    #[arg(long)]
    watch: bool,
}

impl Shown {
    fn of(self, view: View, config: PathBuf) -> Command {
        Command::Show { proxy: self.running.or(config), view, watch: self.watch }
    }
}

/// The command line as data, for its manual and completions. The program is called `name` there.
pub fn command_line(name: &'static str) -> clap::Command {
    Args::command().name(name)
}

impl Invocation {
    /// Reads the arguments (the program's name first) and the value of [`CONFIG_VARIABLE`].
    ///
    /// # Errors
    /// Arguments that make no sense, and also `--help` and `--version`: clap's error prints itself, and
    /// [`exit_code`] tells which it is.
    pub fn read(args: impl IntoIterator<Item = OsString>, variable: Option<OsString>) -> Result<Self, clap::Error> {
        let args = Args::try_parse_from(normalise(args))?;
        let variable = variable.filter(|value| !value.is_empty()).map(PathBuf::from);
        let warning = match (&variable, &args.config) {
            (Some(variable), Some(flag)) if variable != flag => Some(format!(
                "{CONFIG_VARIABLE} is set, so the configuration is {} and not {}, which --config names",
                variable.display(),
                flag.display()
            )),
            _ => None,
        };
        let named = variable.or(args.config);
        let config = named.clone().unwrap_or_else(|| DEFAULT_CONFIG.into());
        if args.verb.is_some() && (args.check || args.schema || args.take_over) {
            let what = "--check, --schema and --take-over stand alone, without a subcommand";
            return Err(clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, format!("{what}\n")));
        }
        let command = match args.verb {
            Some(Verb::Check { file, against_running: true, running }) => {
                // The draft of a configuration says where the proxy is as well, unless its present one is named.
                let present = named.or(file.clone()).unwrap_or_else(|| config.clone());
                Command::Compare { proxy: running.or(present), config: file.unwrap_or(config) }
            }
            Some(Verb::Check { file, .. }) => Command::Check { config: file.unwrap_or(config) },
            Some(Verb::Healthcheck(running)) => Command::Healthcheck { proxy: running.or(config) },
            Some(Verb::Reload(running)) => Command::Reload { proxy: running.or(config) },
            Some(Verb::Drain(running)) => Command::Drain { proxy: running.or(config) },
            Some(Verb::Upgrade(running)) => Command::Upgrade { proxy: running.or(config) },
            Some(Verb::Stats(shown)) => shown.of(View::Statistics, config),
            Some(Verb::Upstreams { shown, json }) => {
                shown.of(if json { View::UpstreamsAsJson } else { View::Upstreams }, config)
            }
            Some(Verb::Health { shown, json }) => {
                shown.of(if json { View::HealthAsJson } else { View::Health }, config)
            }
            Some(Verb::Tunnels { verb: Some(TunnelsVerb::Close { running, which }), .. }) => {
                Command::CloseTunnels { proxy: running.or(config), which: which.filter()? }
            }
            Some(Verb::Tunnels { shown, json, verb: None }) => {
                shown.of(if json { View::TunnelsAsJson } else { View::Tunnels }, config)
            }
            Some(Verb::Requests { running, failed, json }) => {
                Command::Requests { proxy: running.or(config), failed, json }
            }
            Some(Verb::Explain { request, running, json }) => {
                Command::Explain { proxy: running.or(config), request, json }
            }
            Some(Verb::Record { running, out }) => Command::Record { proxy: running.or(config), out },
            Some(Verb::Upstream(steering)) => {
                let (running, upstream, order) = steering.order();
                Command::Steer { proxy: running.or(config), upstream, order }
            }
            Some(Verb::LogLevel { running, level }) => Command::LogLevel { proxy: running.or(config), level },
            Some(Verb::HashPassword) => Command::HashPassword,
            None if args.schema => Command::Schema,
            None if args.check => Command::Check { config },
            None => Command::Run { config, take_over: args.take_over },
        };
        Ok(Invocation { command, warning })
    }
}

/// The exit code for what [`Invocation::read`] refused: help and version were asked for, the rest is misuse.
pub fn exit_code(refusal: &clap::Error) -> u8 {
    if refusal.use_stderr() { EXIT_USAGE } else { 0 }
}

/// Gives the long options that also exist with one dash (`-config FILE`) their second one. clap would read them as
/// a row of short options. Nothing else is touched, the value of `--config` among it.
fn normalise(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut value_next = false;
    args.into_iter()
        .map(|arg| {
            let is_value = std::mem::replace(&mut value_next, false);
            let single = match arg.to_str() {
                _ if is_value => false,
                Some("-config" | "-check" | "-version" | "-help") => true,
                Some(text) => text.starts_with("-config="),
                None => arg.as_encoded_bytes().starts_with(b"-config="),
            };
            let arg = if single { [OsString::from("-"), arg].into_iter().collect() } else { arg };
            value_next = !is_value && arg == "--config";
            arg
        })
        .collect()
}

/// What `--check` prints about the file at `path`, without the last line break.
pub fn check_report(path: &Path, outcome: &Result<Config, Problems>) -> String {
    let file = path.display();
    let mut report = format!("{file}: checking\n");
    let printed = match outcome {
        Err(problems) => write!(report, "{problems}\n{file}: {} to solve", count(problems.len(), "problem")),
        Ok(config) => {
            for warning in &config.warnings {
                report.push_str(&format!("{file}: warning: {warning}\n"));
            }
            let used = config.upstreams.iter().filter(|upstream| !upstream.weight.is_zero()).count();
            let users = match &config.authentication {
                Authentication::Off => "no authentication".to_owned(),
                Authentication::Basic { users, .. } => count(users.len(), "user"),
            };
            let upstreams = count(config.upstreams.len(), "upstream");
            write!(
                report,
                "{file}: ok: {upstreams}, {used} of them in use; {users}; listens on {}",
                config.server.listen
            )
        }
    };
    printed.expect("writing to a String can't fail");
    report
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Criteria;
    use crate::proxy::Order;

    fn read(args: &[&str], variable: Option<&str>) -> Result<Command, clap::Error> {
        invoke(args, variable).map(|invocation| invocation.command)
    }

    fn invoke(args: &[&str], variable: Option<&str>) -> Result<Invocation, clap::Error> {
        let args = std::iter::once("proxy").chain(args.iter().copied()).map(OsString::from);
        Invocation::read(args, variable.map(OsString::from))
    }

    #[test]
    fn a_flag_that_the_variable_beats_is_warned_about() {
        let warning = |args: &[&str], variable| invoke(args, variable).unwrap().warning;
        let said = warning(&["--config", "a.json"], Some("b.json")).unwrap();
        assert!(said.contains("is b.json and not a.json"), "{said}");
        assert!(warning(&["reload", "--config", "a.json"], Some("b.json")).is_some());
        for (args, variable) in [
            (&["--config", "a.json"][..], None),
            (&["--config", "a.json"], Some("a.json")),
            (&["--config", "a.json"], Some("")),
            (&[], Some("b.json")),
        ] {
            assert_eq!(warning(args, variable), None, "{args:?} {variable:?}");
        }
    }

    #[test]
    fn the_variable_beats_the_flag_beats_the_default() {
        let run = |config: &str| Command::Run { config: config.into(), take_over: false };
        assert_eq!(read(&[], None).unwrap(), run("configs/us.json"));
        assert_eq!(read(&["--config", "a.json"], None).unwrap(), run("a.json"));
        assert_eq!(read(&["--config", "a.json"], Some("b.json")).unwrap(), run("b.json"));
        assert_eq!(read(&[], Some("b.json")).unwrap(), run("b.json"));
        assert_eq!(read(&["--config", "a.json"], Some("")).unwrap(), run("a.json"));
    }

    #[test]
    fn one_dash_does_as_two_for_the_known_words() {
        let run = |config: &str| Command::Run { config: config.into(), take_over: false };
        assert_eq!(read(&["-config", "a.json"], None).unwrap(), run("a.json"));
        assert_eq!(read(&["-config=a.json"], None).unwrap(), run("a.json"));
        // Behind `--config` stands a file name, whatever it looks like; clap then wants it written with `=`.
        assert_eq!(normalise(["-config", "-check"].map(OsString::from)), ["--config", "-check"]);
        assert_eq!(read(&["--config=-check"], None).unwrap(), run("-check"));
        assert_eq!(read(&["--config=a.json"], None).unwrap(), run("a.json"));
        assert_eq!(read(&["-check", "-config", "a.json"], None).unwrap(), Command::Check { config: "a.json".into() });
        for (word, kind) in [
            ("-help", clap::error::ErrorKind::DisplayHelp),
            ("-h", clap::error::ErrorKind::DisplayHelp),
            ("--help", clap::error::ErrorKind::DisplayHelp),
            ("-version", clap::error::ErrorKind::DisplayVersion),
            ("-V", clap::error::ErrorKind::DisplayVersion),
        ] {
            let refusal = read(&[word], None).unwrap_err();
            assert_eq!((refusal.kind(), exit_code(&refusal)), (kind, 0), "{word}");
        }
    }

    #[test]
    fn misuse_exits_64() {
        for args in [
            &["-configs", "a.json"][..],
            &["--config"],
            &["--check", "--schema"],
            &["--check", "reload"],
            &["--take-over", "reload"],
            &["--take-over", "upgrade"],
            &["--take-over", "--check"],
            &["extra"],
            &["--unknown"],
            &["-check=yes"],
            &["--control-socket", "c.sock"],
            &["reload", "--control-socket"],
            &["tunnels", "close"],
            &["tunnels", "close", "--json"],
            &["tunnels", "--json", "close", "--id", "1"],
            &["tunnels", "end", "--id", "1"],
            &["tunnels", "close", "--id", "-1"],
            &["tunnels", "close", "--id", "1", "--all"],
            &["tunnels", "close", "--upstream"],
            &["tunnels", "close", "--upstream", ""],
            &["tunnels", "close", "--user", "a", "--target", ""],
            &["tunnels", "close", "--idle-for", "5"],
            &["tunnels", "close", "--idle-for", "-5m"],
            &["tunnels", "close", "--idle-for", "99999999999999999999y"],
            &["tunnels", "close", "--idle-for", "0s"],
            &["upstream"],
            &["upstream", "disable"],
            &["upstream", "stop", "a"],
            &["upstream", "weight", "a"],
            &["upstream", "weight", "a", "-1"],
            &["upstream", "weight", "a", "1.5"],
        ] {
            let refusal = read(args, None).expect_err("must be refused");
            assert_eq!(exit_code(&refusal), 64, "{args:?}");
        }
    }

    #[test]
    fn subcommands_find_the_same_configuration() {
        let proxy = RunningProxy::Config("a.json".into());
        let reload = Command::Reload { proxy: proxy.clone() };
        assert_eq!(read(&["reload", "--config", "a.json"], None).unwrap(), reload);
        assert_eq!(read(&["-config", "a.json", "reload"], None).unwrap(), reload);
        assert_eq!(read(&["healthcheck"], Some("a.json")).unwrap(), Command::Healthcheck { proxy });
        let check = |config: &str| Command::Check { config: config.into() };
        let compare = |present: &str, config: &str| Command::Compare {
            proxy: RunningProxy::Config(present.into()),
            config: config.into(),
        };
        for (args, variable, command) in [
            (&["check"][..], Some("a.json"), check("a.json")),
            (&["check", "b.json"], Some("a.json"), check("b.json")),
            (&["check", "--against-running", "b.json"], Some("a.json"), compare("a.json", "b.json")),
            (&["check", "--against-running", "b.json"], None, compare("b.json", "b.json")),
            (&["check", "--against-running"], None, compare("configs/us.json", "configs/us.json")),
        ] {
            assert_eq!(read(args, variable).unwrap(), command, "{args:?}");
        }
        let proxy = RunningProxy::Socket("c.sock".into());
        for args in [&["reload", "--control-socket", "c.sock"][..], &["reload", "--control-socket=c.sock"]] {
            assert_eq!(read(args, Some("a.json")).unwrap(), Command::Reload { proxy: proxy.clone() });
        }
        let proxy = RunningProxy::Config("a.json".into());
        let show = |view, watch| Command::Show { proxy: proxy.clone(), view, watch };
        let close = |which: Criteria| Command::CloseTunnels { proxy: proxy.clone(), which: which.try_into().unwrap() };
        let steer = |order| Command::Steer { proxy: proxy.clone(), upstream: "a".to_owned(), order };
        for (args, command) in [
            (&["drain"][..], Command::Drain { proxy: proxy.clone() }),
            (&["upgrade"], Command::Upgrade { proxy: proxy.clone() }),
            (&["record"], Command::Record { proxy: proxy.clone(), out: None }),
            (&["record", "--out", "x"], Command::Record { proxy: proxy.clone(), out: Some("x".into()) }),
            (&["log-level"], Command::LogLevel { proxy: proxy.clone(), level: None }),
            (&["log-level", "off"], Command::LogLevel { proxy: proxy.clone(), level: Some("off".to_owned()) }),
            (&["upstream", "drain", "a"], steer(Order::Drain)),
            (&["upstream", "weight", "a", "7"], steer(Order::Weight(7))),
            (&["tunnels"], show(View::Tunnels, false)),
            (&["tunnels", "--json", "--watch"], show(View::TunnelsAsJson, true)),
            (
                &["tunnels", "close", "--user", "u", "--idle-for", "2m"],
                close(Criteria { user: Some("u".to_owned()), idle_for_ms: Some(120_000), ..Criteria::default() }),
            ),
            (
                &["tunnels", "close", "--upstream", "a", "--target", "t:1", "--id", "7"],
                close(Criteria {
                    upstream: Some("a".to_owned()),
                    target: Some("t:1".to_owned()),
                    id: Some(7),
                    ..Criteria::default()
                }),
            ),
            (&["stats"], show(View::Statistics, false)),
            (&["stats", "--watch"], show(View::Statistics, true)),
            (&["upstreams"], show(View::Upstreams, false)),
            (&["health"], show(View::Health, false)),
            (&["health", "--watch", "--json"], show(View::HealthAsJson, true)),
            (&["upstreams", "--json", "--watch"], show(View::UpstreamsAsJson, true)),
        ] {
            assert_eq!(read(args, Some("a.json")).unwrap(), command, "{args:?}");
        }
        assert_eq!(read(&["hash-password"], None).unwrap(), Command::HashPassword);
        assert_eq!(read(&["--schema"], None).unwrap(), Command::Schema);
    }

    #[test]
    fn the_check_names_its_file_and_counts() {
        let check = |text: &str| {
            let outcome =
                crate::config::parse("c.json", text.as_bytes(), &crate::config::System::beside(Path::new("")));
            check_report(Path::new("c.json"), &outcome)
        };
        assert_eq!(
            check(r#"{"upstream_proxies": [{"url": "http://a"}, {"url": "http://b:1", "weight": 0}]}"#),
            "c.json: checking\n\
             c.json: warning: upstream_proxies[0].url: no port given, so 80 is used\n\
             c.json: ok: 2 upstreams, 1 of them in use; no authentication; listens on 127.0.0.1:3130"
        );
        assert_eq!(
            check(r#"{"upstream_proxies": [{"url": "http://a:1", "weight": -1}]}"#),
            "c.json: checking\n\
             c.json: upstream_proxies[0].weight: must be 0 or more (got -1)\n\
             c.json: 1 problem to solve"
        );
    }
}
