//! The proxies that are compared, each configured as favourably as its manual allows, none with a log but where said.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::netdrift_config;
use crate::support::process::{ChildProcess, free_address};

/// A proxy to compare.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    kind: ContenderProgram,
}

enum ContenderProgram {
    /// With this log level.
    Netdrift(&'static str),
    Haproxy,
    Squid,
    Tinyproxy,
}

/// netdrift first: the others are told as multiples of it.
pub(crate) const CONTENDERS: [Contender; 5] = [
    Contender { name: "netdrift", kind: ContenderProgram::Netdrift("warn") },
    Contender { name: "netdrift, logging", kind: ContenderProgram::Netdrift("info") },
    Contender { name: "haproxy", kind: ContenderProgram::Haproxy },
    Contender { name: "squid", kind: ContenderProgram::Squid },
    Contender { name: "tinyproxy", kind: ContenderProgram::Tinyproxy },
];

/// One that accepts.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) process: ChildProcess,
}

impl Contender {
    fn program(&self) -> Option<PathBuf> {
        let name = match self.kind {
            ContenderProgram::Netdrift(_) => return None,
            ContenderProgram::Haproxy => "haproxy",
            ContenderProgram::Squid => "squid",
            ContenderProgram::Tinyproxy => "tinyproxy",
        };
        ["/usr/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(name)).into_iter().find(|path| path.exists())
    }

    /// netdrift is; the others come from the distribution.
    pub(crate) fn is_installed(&self) -> bool {
        matches!(self.kind, ContenderProgram::Netdrift(_)) || self.program().is_some()
    }

    /// Starts it in front of `upstream`, with its files in `folder`.
    pub(crate) async fn start(&self, netdrift: &Path, folder: &Path, upstream: SocketAddr) -> io::Result<Running> {
        let addr = free_address()?;
        let program = self.program().unwrap_or_else(|| netdrift.to_owned());
        let config = folder.join("config");
        let log = File::create(folder.join("log"))?;
        let mut command = Command::new(program);
        let (listen, port, to) = (addr, addr.port(), upstream.port());
        let text = match self.kind {
            ContenderProgram::Netdrift(level) => {
                command.arg("--config").arg(&config);
                netdrift_config(listen, upstream, level)
            }
            ContenderProgram::Haproxy => {
                command.arg("-db").arg("-f").arg(&config);
                format!(
                    "global\n  maxconn 4000\ndefaults\n  mode http\n  option splice-auto\n  timeout connect 10s\n  \
                     timeout client 60s\n  timeout server 60s\n  timeout tunnel 60s\nfrontend in\n  bind {listen}\n  \
                     default_backend out\nbackend out\n  server upstream {upstream}\n"
                )
            }
            ContenderProgram::Squid => {
                // It gives up root and must still write here.
                fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?;
                command.arg("-N").arg("-f").arg(&config);
                format!(
                    "http_port {listen}\nhttp_access allow all\nicp_port 0\ncache deny all\ncache_mem 8 MB\n\
                     access_log none\ncache_log {log}\ncache_store_log none\npid_filename none\npinger_enable off\n\
                     coredump_dir {folder}\ncache_peer 127.0.0.1 parent {to} 0 no-query no-digest default\n\
                     never_direct allow all\nnonhierarchical_direct off\nmax_filedescriptors 8000\n",
                    log = folder.join("squid.log").display(),
                    folder = folder.display(),
                )
            }
            ContenderProgram::Tinyproxy => {
                command.arg("-d").arg("-c").arg(&config);
                format!(
                    "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 4000\nAllow 127.0.0.1\n\
                     LogLevel Critical\nUpstream http 127.0.0.1:{to}\n"
                )
            }
        };
        fs::write(&config, text)?;
        let mut process = ChildProcess::start(&mut command, log)?;
        if let Err(error) = process.accepts(addr).await {
            let said = fs::read_to_string(folder.join("log")).unwrap_or_default();
            return Err(io::Error::other(format!("{}: {error}\n{said}", self.name)));
        }
        Ok(Running { addr, process })
    }
}
