//! The proxies that are compared, each configured as favourably as its manual allows, none with a log but where said.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::Running;
use crate::measure::Measure;
use crate::support::netdrift_config;
use crate::support::process::{ChildProcess, free_address};

/// A proxy to compare.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    kind: ContenderProgram,
}

#[derive(Clone, Debug)]
enum ContenderProgram {
    /// None: the client speaks to the upstream.
    Direct,
    /// This binary, with this log level.
    Netdrift(PathBuf, &'static str),
    /// With these lines among its defaults.
    Haproxy(&'static str),
    Squid,
    Tinyproxy,
    /// Plain HTTP alone: it knows no CONNECT.
    Nginx,
}

pub(crate) const NETDRIFT: &str = "netdrift";
const NETDRIFT_LOG: &str = "netdrift (log)";
const BESIDE: &str = "netdrift (other)";
const HAPROXY: &str = "haproxy";
const HAPROXY_SPLICE: &str = "haproxy (splice)";
const HAPROXY_LOG: &str = "haproxy (log)";

/// Which are told as multiples of which.
pub(crate) const RATIOS: [(&str, &str); 4] =
    [(NETDRIFT, HAPROXY), (NETDRIFT, HAPROXY_SPLICE), (NETDRIFT_LOG, HAPROXY_LOG), (NETDRIFT, BESIDE)];

/// All that are installed: netdrift's binary, and `beside` it perhaps another build of it.
pub(crate) fn contenders(netdrift: &Path, beside: Option<&Path>) -> Vec<Contender> {
    use ContenderProgram::{Direct, Haproxy, Netdrift, Nginx, Squid, Tinyproxy};
    let mut all = vec![
        Contender { name: "direct", kind: Direct },
        Contender { name: NETDRIFT, kind: Netdrift(netdrift.to_owned(), "warn") },
        Contender { name: HAPROXY, kind: Haproxy("  option splice-auto\n") },
        Contender { name: HAPROXY_SPLICE, kind: Haproxy("  option splice-request\n  option splice-response\n") },
        Contender { name: NETDRIFT_LOG, kind: Netdrift(netdrift.to_owned(), "info") },
        Contender {
            name: HAPROXY_LOG,
            kind: Haproxy("  option splice-auto\n  log fd@2 format raw local0\n  option httplog\n"),
        },
        Contender { name: "squid", kind: Squid },
        Contender { name: "tinyproxy", kind: Tinyproxy },
        Contender { name: "nginx", kind: Nginx },
    ];
    if let Some(beside) = beside {
        all.push(Contender { name: BESIDE, kind: Netdrift(beside.to_owned(), "warn") });
    }
    all.retain(|one| matches!(one.kind, Direct) || one.program().is_some());
    all
}

impl Contender {
    fn program(&self) -> Option<PathBuf> {
        let name = match &self.kind {
            ContenderProgram::Direct => return None,
            ContenderProgram::Netdrift(program, _) => return Some(program.clone()),
            ContenderProgram::Haproxy(_) => "haproxy",
            ContenderProgram::Squid => "squid",
            ContenderProgram::Tinyproxy => "tinyproxy",
            ContenderProgram::Nginx => "nginx",
        };
        ["/usr/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(name)).into_iter().find(|path| path.exists())
    }

    /// What the program says of its version, in one line.
    pub(crate) fn version(&self) -> String {
        let argument = match self.kind {
            ContenderProgram::Netdrift(..) => "--version",
            _ => "-v",
        };
        let Some(said) = self.program().and_then(|program| Command::new(program).arg(argument).output().ok()) else {
            return String::new();
        };
        let said = [said.stdout, said.stderr].concat();
        String::from_utf8_lossy(&said).lines().next().unwrap_or_default().split(" - ").next().unwrap_or_default().into()
    }

    /// Whether it can do what is measured, and whether it differs there from its like.
    pub(crate) fn takes(&self, measure: Measure) -> bool {
        match self.name {
            NETDRIFT_LOG | HAPROXY_LOG => measure.is_logged(),
            HAPROXY_SPLICE => measure.needs_tunnels(),
            _ => measure.needs_tunnels() <= !matches!(self.kind, ContenderProgram::Nginx),
        }
    }

    /// Starts it in front of `upstream`, with its files in a folder of its own in `folder`.
    pub(crate) async fn start(&self, folder: &Path, upstream: SocketAddr) -> io::Result<Running> {
        let Some(program) = self.program() else { return Ok(Running { addr: upstream, process: None }) };
        let addr = free_address()?;
        let folder = &folder.join(addr.port().to_string());
        fs::create_dir(folder)?;
        let config = folder.join("config");
        let log = File::create(folder.join("log"))?;
        let mut command = Command::new(program);
        let text = self.configuration(&mut command, &config, folder, (addr, upstream))?;
        fs::write(&config, text)?;
        let mut process = ChildProcess::start(&mut command, log)?;
        if let Err(error) = process.accepts(addr).await {
            let said = fs::read_to_string(folder.join("log")).unwrap_or_default();
            return Err(io::Error::other(format!("{}: {error}\n{said}", self.name)));
        }
        Ok(Running { addr, process: Some(process) })
    }

    /// Gives `command` its arguments; returns what the file `config` has to say.
    fn configuration(
        &self,
        command: &mut Command,
        config: &Path,
        folder: &Path,
        (listen, upstream): (SocketAddr, SocketAddr),
    ) -> io::Result<String> {
        let (port, to) = (listen.port(), upstream.port());
        Ok(match self.kind {
            ContenderProgram::Direct => String::new(),
            ContenderProgram::Netdrift(_, level) => {
                command.arg("--config").arg(config);
                netdrift_config(listen, upstream, level)
            }
            ContenderProgram::Haproxy(defaults) => {
                command.arg("-db").arg("-f").arg(config);
                format!(
                    "global\n  maxconn 4000\ndefaults\n  mode http\n{defaults}  http-reuse always\n  timeout connect 10s\n  \
                     timeout client 60s\n  timeout server 60s\n  timeout tunnel 60s\nfrontend in\n  bind {listen}\n  \
                     default_backend out\nbackend out\n  server upstream {upstream}\n"
                )
            }
            ContenderProgram::Squid => {
                // It gives up root and must still write here.
                fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?;
                command.arg("-N").arg("-f").arg(config);
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
                command.arg("-d").arg("-c").arg(config);
                format!(
                    "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 4000\nAllow 127.0.0.1\n\
                     LogLevel Critical\nUpstream http 127.0.0.1:{to}\n"
                )
            }
            ContenderProgram::Nginx => {
                // It gives up root as well.
                fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?;
                command.arg("-c").arg(config).arg("-p").arg(folder).arg("-e").arg("stderr");
                format!(
                    "daemon off;\nworker_processes auto;\npid nginx.pid;\nevents {{ worker_connections 4000; }}\n\
                     http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  client_body_temp_path body;\n  \
                     proxy_temp_path temp;\n  fastcgi_temp_path fastcgi;\n  uwsgi_temp_path uwsgi;\n  scgi_temp_path scgi;\n  \
                     upstream out {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}\n  \
                     server {{\n    listen {listen};\n    location / {{\n      proxy_pass http://out;\n      \
                     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n    }}\n  }}\n}}\n"
                )
            }
        })
    }
}
