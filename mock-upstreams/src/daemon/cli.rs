//! Reads the command line of `mock-upstreams`.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Parser;

use super::config::{self, ConfigError, UpstreamConfig};
use mock_upstreams::targets::Builtin;
use mock_upstreams::upstream::{Auth, Settings};

/// Upstream proxies to test against, several in one process.
#[derive(Debug, Parser)]
#[command(name = "mock-upstreams", version, max_term_width = 100)]
pub(crate) struct Args {
    /// Ports to listen on, one upstream each; 0 lets the system choose [default: 3025 3026].
    #[arg(value_name = "PORT", conflicts_with = "config")]
    ports: Vec<u16>,
    /// Serve a built-in target by itself on a port, for proxies that go direct: echo=7000, n1000.source=7001. May be given often. Then no
    /// upstream runs but those that are named.
    #[arg(long = "target", value_name = "NAME=PORT", value_parser = target)]
    targets: Vec<StandingTarget>,
    /// Ask for these credentials.
    #[arg(long, value_name = "USER:PASSWORD", value_parser = auth, conflicts_with = "config")]
    auth: Option<Auth>,
    /// Read the upstreams from a JSON file instead.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<IpAddr>,
    /// Append the journal to this file as JSON lines ("-": standard output).
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Where the PID files test-proxy-PORT.pid go.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) pid_dir: PathBuf,
    /// Write no PID files.
    #[arg(long, conflicts_with = "pid_dir")]
    pub(crate) no_pid_file: bool,
}

/// The upstreams of the original.
const DEFAULT_PORTS: [u16; 2] = [3025, 3026];

/// A built-in target that stands by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StandingTarget {
    /// Its name, `echo.mock`.
    pub(crate) name: String,
    /// What it is.
    pub(crate) target: Builtin,
    /// The port that it listens on; 0 lets the system choose.
    pub(crate) port: u16,
}

fn target(pair: &str) -> Result<StandingTarget, String> {
    let (name, port) = pair.split_once('=').ok_or("must be NAME=PORT, such as echo=7000")?;
    let port = port.parse().map_err(|error| format!("the port of {name}: {error} (got {port:?})"))?;
    let name = format!("{name}.mock");
    let target = Builtin::named(&name).ok_or_else(|| {
        format!("there is no target {name}; there are echo, http, sink, slow, source, tls, websocket")
    })?;
    Ok(StandingTarget { name, target, port })
}

fn auth(pair: &str) -> Result<Auth, String> {
    Auth::parse(pair).ok_or_else(|| "must be USER:PASSWORD".to_owned())
}

impl Args {
    /// Parses the command line. The original spells `--help` as `-help`, so both are understood.
    pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Args::try_parse_from(words.into_iter().map(|word| if word == "-help" { "--help".into() } else { word }))
    }

    /// The address to listen on, and the upstreams to run.
    ///
    /// # Errors
    /// The configuration file can't be used.
    pub(crate) fn upstreams(&self) -> Result<(IpAddr, Vec<UpstreamConfig>), ConfigError> {
        let (from_file, upstreams) = match &self.config {
            Some(path) => config::read(path)?,
            None => {
                let defaults = if self.targets.is_empty() { DEFAULT_PORTS.as_slice() } else { &[] };
                let ports = if self.ports.is_empty() { defaults } else { &self.ports };
                let settings = Settings { auth: self.auth.clone(), ..Settings::default() };
                (None, ports.iter().map(|port| UpstreamConfig::on_port(*port, settings.clone())).collect())
            }
        };
        Ok((self.bind.or(from_file).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), upstreams))
    }

    /// The targets that stand by themselves.
    pub(crate) fn targets(&self) -> &[StandingTarget] {
        &self.targets
    }

    /// Whether the PID files go to the default directory. Failing to write there is no error.
    pub(crate) fn pid_dir_is_default(&self) -> bool {
        self.pid_dir.as_os_str() == "."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Result<Args, clap::Error> {
        Args::read(["mock-upstreams"].iter().chain(words).map(OsString::from))
    }

    #[test]
    fn the_originals_ports_are_the_default() {
        let (bind, upstreams) = args(&[]).unwrap().upstreams().unwrap();
        assert_eq!(bind.to_string(), "127.0.0.1");
        assert_eq!(upstreams.iter().map(|upstream| upstream.port).collect::<Vec<_>>(), [3025, 3026]);
    }

    #[test]
    fn credentials_hold_for_every_port_and_are_not_printed() {
        let args = args(&["--auth", "u:geheim", "4000"]).unwrap();
        let (_, upstreams) = args.upstreams().unwrap();
        assert!(upstreams[0].settings.auth.is_some());
        assert!(!format!("{args:?} {upstreams:?}").contains("geheim"));
    }

    #[test]
    fn a_target_is_named_as_in_a_request_and_has_a_port() {
        let args = args(&["--target", "echo=7000", "--target", "n9.source=0"]).unwrap();
        assert_eq!(args.upstreams().unwrap().1, [], "the default upstreams were not asked for");
        let source =
            StandingTarget { name: "n9.source.mock".to_owned(), target: Builtin::Source { bytes: 9 }, port: 0 };
        assert_eq!(args.targets()[1], source);
        let with_upstream = Args::read(["x", "--target", "echo=7000", "4000"].map(OsString::from)).unwrap();
        assert_eq!(with_upstream.upstreams().unwrap().1.len(), 1);
        for (wrong, said) in
            [("echo", "NAME=PORT"), ("nothing=1", "there is no target nothing.mock"), ("echo=x", "the port of echo")]
        {
            let error = Args::read(["x", "--target", wrong].map(OsString::from)).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn help_may_have_one_dash() {
        assert_eq!(args(&["-help"]).unwrap_err().kind(), clap::error::ErrorKind::DisplayHelp);
    }
}
