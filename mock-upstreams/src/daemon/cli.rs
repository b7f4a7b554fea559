//! Reads the command line of `mock-upstreams`.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Parser;

use super::config::{self, ConfigError, UpstreamConfig};
use mock_upstreams::upstream::{Auth, Settings};

/// Upstream proxies to test against, several in one process.
#[derive(Debug, Parser)]
#[command(name = "mock-upstreams", version, max_term_width = 100)]
pub(crate) struct Args {
    /// Ports to listen on, one upstream each; 0 lets the system choose.
    #[arg(value_name = "PORT", default_values_t = [3025, 3026], conflicts_with = "config")]
    ports: Vec<u16>,
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
                let settings = Settings { auth: self.auth.clone(), ..Settings::default() };
                (None, self.ports.iter().map(|port| UpstreamConfig::on_port(*port, settings.clone())).collect())
            }
        };
        Ok((self.bind.or(from_file).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), upstreams))
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
    fn help_may_have_one_dash() {
        assert_eq!(args(&["-help"]).unwrap_err().kind(), clap::error::ErrorKind::DisplayHelp);
    }
}
