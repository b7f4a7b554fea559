//! Says which running proxy a command is for.

use std::path::PathBuf;

/// How a running proxy is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunningProxy {
    /// By its control socket.
    Socket(PathBuf),
    /// By the configuration file it runs with, which says where the control socket is.
    Config(PathBuf),
}

#[derive(clap::Args)]
pub(super) struct Running {
    /// Control socket of the running proxy [default: the one that the configuration file names]
    #[arg(long, value_name = "PATH")]
    control_socket: Option<PathBuf>,
}

impl Running {
    /// The one that is named, else that of the configuration at `config`.
    pub(super) fn or(self, config: PathBuf) -> RunningProxy {
        self.control_socket.map_or(RunningProxy::Config(config), RunningProxy::Socket)
    }
}
